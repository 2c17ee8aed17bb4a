"""Worker processes that are there at once: forked from one that has imported everything.

A test that kills dozens of workers would else spend its time importing torch.

    python nursery.py RUN LEASE_SECONDS

Each line read starts a worker, whose process id is printed.
"""

import os
import signal
import sys
from pathlib import Path

from sophia_cli.config import resolve_config
from sophia_cli.console import ConsoleReport
from sophia_cli.execute import Session
from sophia_cli.run_dir import RunDir
from stages.engines import ModelConfig, load_engine

SETTINGS = [
    *("caption.num_captions=3", "caption.max_tokens=64", "run.commit_seconds=0.1"),
    *("models.policy.path=world:policy", "models.policy.batch_size=4"),
    "caption.prompt=world:prompts/caption.txt",
]


def work(run: Path, lease_seconds: float) -> bool:
    """One attempt at the caption stage; whether the table is complete then."""
    settings = [*SETTINGS, f"run.lease_seconds={lease_seconds}"]
    config = resolve_config([], settings, {}).config
    session = Session(RunDir(run), config, ConsoleReport(), lambda: False)
    return session.execute("caption").complete


def main() -> None:
    """Start workers on request."""
    run, lease_seconds = Path(sys.argv[1]), float(sys.argv[2])
    load_engine("policy", ModelConfig(path="world:policy")).close()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            try:
                work(run, lease_seconds)
            finally:
                os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
