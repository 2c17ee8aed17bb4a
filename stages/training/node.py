"""One node of several: become its torchrun, which a signal to the whole job does not end.

    srun --ntasks-per-node=1 python -m stages.training.node --nnodes=2 ... -m MODULE TASK

Slurm signals every process of a step. Torchrun would end the ranks at once; blocked, signals wait
for the ranks, which save a checkpoint first.
"""

import os
import signal
import sys

from stages.training.launch import NOT_FOR_RANKS


def main() -> None:
    """Replace this process by torchrun; the number of the node is that of Slurm's task."""
    signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_RANKS)
    own = [f"--node-rank={os.environ['SLURM_PROCID']}", *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *own])


if __name__ == "__main__":
    main()
