"""What training costs: its steps against TRL's and a bare loop, fused head against all logits.

Steps: see `training_steps`; all arms take the same rows in turns. Head: each arm runs in a
process of its own, whose peak resident memory says what it took beyond its inputs: one forward and
backward pass of a head over the response tokens of a long trajectory, in float32 on the CPU.

    python tests/performance/training.py --json
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a file, it is to find `tests`

ARMS = ("fused", "eager")


def peak_gib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run_arm(arm: str, num_tokens: int, vocabulary: int, hidden_size: int) -> dict[str, float]:
    """One forward and backward pass; what it took."""
    import torch
    from torch.nn import functional

    from stages.training.head import token_logprobs

    torch.manual_seed(0)
    hidden_TH = torch.randn(num_tokens, hidden_size, requires_grad=True)
    weight_VH = torch.randn(vocabulary, hidden_size).mul_(hidden_size**-0.5).requires_grad_()
    target_T = torch.randint(vocabulary, (num_tokens,))
    before, started = peak_gib(), time.monotonic()
    if arm == "fused":
        logprob_T = token_logprobs(hidden_TH, weight_VH, None, target_T)
    else:
        logits_TV = functional.linear(hidden_TH, weight_VH)
        logprob_T = -functional.cross_entropy(logits_TV, target_T, reduction="none")
        del logits_TV
    (-logprob_T.sum() / num_tokens).backward()  # the denominator: response tokens
    assert hidden_TH.grad is not None
    return {
        "peak_gib": peak_gib() - before,
        "seconds": time.monotonic() - started,
        "loss": -logprob_T.mean().item(),
        "gradient_norm": hidden_TH.grad.norm().item(),
    }


def measure_head(arguments: argparse.Namespace) -> dict[str, Any]:
    """Both arms, in turns."""
    shape = [arguments.tokens, arguments.vocabulary, arguments.hidden_size]
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for _ in range(arguments.rounds):
        for arm in ARMS:
            command = [sys.executable, __file__, "--arm", arm, "--shape", *map(str, shape)]
            made = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            found[arm].append(json.loads(made.splitlines()[-1]))
    medians = {
        arm: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for arm, rounds in found.items()
    }
    fused, eager = (medians[arm] for arm in ARMS)
    return {
        "fused_vs_eager_peak_memory": round(fused["peak_gib"] / eager["peak_gib"], 4),
        "fused_vs_eager_seconds": round(fused["seconds"] / eager["seconds"], 3),
        "head_shape": dict(zip(("tokens", "vocabulary", "hidden_size"), shape, strict=True)),
        "head": medians,
    }


def main(given: Sequence[str] | None = None) -> None:
    """Measure, or run one arm."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["steps", "head"])
    parser.add_argument("--steps", type=int, default=10, help="timed, after two to warm up")
    parser.add_argument("--width", type=int, default=64, help="of the steps' model")
    clocks = ["wall", "processor"]
    parser.add_argument("--clock", choices=clocks, default="wall", help="of steps")
    parser.add_argument("--rounds", type=int, default=1, help="of the head's arms")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--vocabulary", type=int, default=151_674)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.arm:
        print(json.dumps(run_arm(arguments.arm, *arguments.shape)))
        return
    result: dict[str, Any] = {}
    if arguments.only in (None, "steps"):
        from tests.performance.training_steps import measure_steps

        result |= measure_steps(arguments.steps, arguments.width, arguments.clock)
    if arguments.only in (None, "head"):
        result |= measure_head(arguments)
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:32}{value}")


if __name__ == "__main__":
    main()
