"""What exact pruning saves, by the real stages over an engine in virtual time.

K = N = 8 and alpha = 0.75, as in the paper. A sample's pass rate p is drawn from Beta(8, 1),
Beta(2.2, 2.2) or Beta(0.6, 4) with weights 0.3, 0.4 and 0.3, each of its captions' from
Beta(12 p, 12 (1 - p)). Lengths are lognormal, median 5,000 tokens and sigma 0.7; wrong rollouts are
1.6 times longer, and none is longer than 32,768. Each slot of the engine writes one token per tick.

    python tests/performance/pruning.py --json
"""

import argparse
import heapq
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count as count_up
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data import tables
from data.records import Caption, Rollout, Sample, Trajectory
from stages import propagate_reward, reason, serving, verify
from stages.engines import Completion, ModelConfig, Request
from stages.job import Job, Key, Outcome

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a file, it is to find `tests`

from tests.reports import SilentReport

NUM_SAMPLES, NUM_SHARDS, K, N = 300, 2, 8, 8
ALPHA, MEDIAN_TOKENS, SIGMA, WRONG_FACTOR, MAX_TOKENS = 0.75, 5_000, 0.7, 1.6, 32_768
ASK_EVERY = 64
"""Tokens between two questions whether to go on."""
BORROWED = {
    "propagate.alpha": ALPHA,
    "propagate.keep": 1,
    "propagate.select": "shortest",
    "verify.timeout_seconds": 5.0,
    "verify.num_workers": 1,
    "verify.llm_judge": False,
    "verify.llm_extractor": "off",
}

World = dict[Key, tuple[int, bool]]
"""Rollout -> its length, and whether it is right."""


def make_world(seed: int, num_samples: int = NUM_SAMPLES) -> World:
    """Draw every rollout."""
    draw = np.random.default_rng(seed)
    world: World = {}
    for sample in range(num_samples):
        a, b = ((8, 1), (2.2, 2.2), (0.6, 4))[draw.choice(3, p=(0.3, 0.4, 0.3))]
        p = np.clip(draw.beta(a, b), 1e-6, 1 - 1e-6)
        for caption in range(K):
            rate = draw.beta(12 * p, 12 * (1 - p))
            for rollout in range(N):
                is_right = bool(draw.random() < rate)
                length = draw.lognormal(np.log(MEDIAN_TOKENS), SIGMA)
                length *= 1.0 if is_right else WRONG_FACTOR
                key = (f"sample-{sample:03}", caption, rollout)
                world[key] = min(int(length) + 1, MAX_TOKENS), is_right
    return world


class SimulatedEngine:
    """Writes so many rollouts at once, each a token per tick.

    Args:
        world: what it writes.
        slots: rollouts at once.
        ahead: rollouts read beyond those being written, which begin when there is room.
    """

    def __init__(self, world: World, slots: int, ahead: int = 0) -> None:
        self.world = world
        self.slots = slots
        self.ahead = ahead
        self.ticks = 0
        self.groups: dict[Key, Any] = {}
        """Of all that was asked."""

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        source = iter(requests)
        queued: list[Request] = []
        active: list[tuple[int, int, int, Request]] = []
        turn = count_up()

        def schedule(begun: int, request: Request, written: int) -> None:
            due = begun + min(written + ASK_EVERY, self.world[request.id][0])
            heapq.heappush(active, (due, next(turn), begun, request))

        while True:
            while len(active) + len(queued) < self.slots + self.ahead:
                if (request := next(source, None)) is None:
                    break
                queued.append(request)
                self.groups[request.id] = request.group
            while queued and len(active) < self.slots:
                schedule(self.ticks, queued.pop(0), 0)
            if not active or should_stop():
                return
            self.ticks, _, begun, request = heapq.heappop(active)
            written = self.ticks - begun
            length, is_right = self.world[request.id]
            if written == length:
                yield completion(request, length, is_right)
            elif request.keep_going is not None and not request.keep_going(written):
                yield Completion(id=request.id, token_ids=bytes(written), finish_reason="pruned")
            else:
                schedule(begun, request, written)

    def figures(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        pass


def completion(request: Request, length: int, is_right: bool) -> Completion:
    if length == MAX_TOKENS:
        return Completion(
            id=request.id, text="...", token_ids=bytes(length), finish_reason="length"
        )
    text = f"**Final answer** \\boxed{{{7 if is_right else 8}}}"
    return Completion(id=request.id, text=text, token_ids=bytes(length), finish_reason="stop")


def make_job(stage: str, run_dir: Path, **rest: Any) -> Job:
    model = ModelConfig(path="simulated", engine="vllm")
    job = Job(
        stage=stage,
        run_dir=run_dir,
        seed=0,
        models={"policy": model, "reasoner": model},
        metadata=tables.Metadata(stage=stage, digest=stage),
        report=SilentReport(),
        commit_seconds=3600.0,
        borrowed=BORROWED,
    )
    return replace(job, **rest)


def write_inputs(run_dir: Path, world: World) -> None:
    """The samples and captions that the reason stage reads."""
    captions = sorted({key[:2] for key in world})
    names = sorted({name for name, _ in captions})
    for shard in range(NUM_SHARDS):
        chosen = set(names[shard::NUM_SHARDS])
        samples = [Sample(sample_id=name, question="?", answer="7") for name in sorted(chosen)]
        described = [
            Caption(sample_id=name, caption_index=index, text="", finish_reason="stop")
            for name, index in captions
            if name in chosen
        ]
        for table, record, rows in (("samples", Sample, samples), ("captions", Caption, described)):
            path = tables.shard_path(run_dir / table, shard, NUM_SHARDS)
            metadata = tables.Metadata(stage=table, digest=table)
            tables.write_atomically(path, tables.to_table(rows, record), metadata)


def write_rollouts(
    run_dir: Path, engine: SimulatedEngine, job: Job | None = None, **settings: Any
) -> Outcome:
    """Run the reason stage, or do what is left of it."""
    serving.load_engine = lambda *_: engine  # type: ignore[assignment]
    config = reason.Config.model_validate({"num_rollouts": N} | settings)
    return reason.run(job or make_job("reason", run_dir), config)


def select(run_dir: Path) -> set[tuple[Any, ...]]:
    """Run verify and propagate-reward: which rollouts become trajectories."""
    verify.run(make_job("verify", run_dir), verify.Config(num_workers=1))
    propagate_reward.run(make_job("propagate-reward", run_dir), propagate_reward.Config())
    return {
        (row["sample_id"], row["caption_index"], row["rollout_index"], row["num_tokens"])
        for path in tables.shards(run_dir / "trajectories")
        for row in tables.read_rows(path, Trajectory)
    }


def count_tokens(run_dir: Path) -> int:
    """What all rollouts took, those that were given up included."""
    return sum(
        row["num_tokens"]
        for path in tables.shards(run_dir / "rollouts")
        for row in tables.read_rows(path, Rollout, ("num_tokens",))
    )


class Arm(NamedTuple):
    """One way to write the rollouts."""

    selected: set[tuple[Any, ...]]
    num_tokens: int
    ticks: int
    figures: dict[str, int]
    """What the pruner says of itself."""


def run_arm(world: World, engine: SimulatedEngine, prune: str) -> Arm:
    """The data stages from reason on, in a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        write_inputs(run_dir, world)
        outcome = write_rollouts(run_dir, engine, prune=prune)
        figures = outcome.figures.get("pruning", {})
        return Arm(select(run_dir), count_tokens(run_dir), engine.ticks, figures)


def measure(seeds: int, slots: list[int], ahead: float) -> dict[str, Any]:
    """Both arms for each seed and concurrency."""
    runs = []
    for seed in range(seeds):
        world = make_world(seed)
        for concurrency in slots:
            slots_ahead = round(ahead * concurrency)
            off = run_arm(world, SimulatedEngine(world, concurrency, slots_ahead), "off")
            exact = run_arm(world, SimulatedEngine(world, concurrency, slots_ahead), "exact")
            runs.append(
                {
                    "seed": seed,
                    "concurrency": concurrency,
                    "tokens_fraction": round(exact.num_tokens / off.num_tokens, 4),
                    "time_fraction": round(exact.ticks / off.ticks, 4),
                    "same_selection": exact.selected == off.selected,
                    "trajectories": len(exact.selected),
                    "tokens_saved": off.num_tokens - exact.num_tokens,
                    **exact.figures,
                }
            )
            print(json.dumps(runs[-1]), flush=True)
    return {
        "tokens_fraction": statistics.median(run["tokens_fraction"] for run in runs),
        "time_fraction": statistics.median(run["time_fraction"] for run in runs),
        "same_selection": all(run["same_selection"] for run in runs),
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end in one JSON object")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--ahead", type=float, default=0.0, help="read ahead, in engines full")
    arguments = parser.parse_args()
    result = measure(arguments.seeds, arguments.concurrency, arguments.ahead)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
