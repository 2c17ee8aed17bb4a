"""What the shard runner itself costs: a million rollouts through `map_shards`, without a model.

A stand-in for the engine finishes rows out of order with some hundred of them in flight; planning,
collecting, committing, merging and reporting are the real ones. The work is done in a process of
its own, so that its peak memory is that of the runner and of nothing else.

    python tests/performance/runner.py --json
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from data import tables
from data.records import Rollout
from sophia_cli.console import ConsoleReport
from stages.generation import group_rows
from stages.job import Job, Planned
from stages.shards import map_shards

CAPTIONS, ROLLOUTS = 8, 8
"""Per sample, and per caption."""
NUM_SHARDS = 250
TOKENS = 200
"""Of a rollout."""
CHARACTERS = 4 * TOKENS
IN_FLIGHT = 400
VOCABULARY = 150_000
POOL = 100_000
"""Tokens and characters that the answers are cut from."""


class StandIn:
    """Answers rows in no order; it does as little as it can for that."""

    def __init__(self) -> None:
        self.rng = random.Random(0)
        self.tokens = [self.rng.randrange(VOCABULARY) for _ in range(POOL)]
        words = [
            "".join(self.rng.choices("aeioulnrst", k=self.rng.randint(2, 9))) for _ in range(999)
        ]
        self.text = " ".join(self.rng.choices(words, k=POOL))[:POOL]

    def execute(self, rows: Iterator[Planned]) -> Iterator[Rollout]:
        """A record for each row, with `IN_FLIGHT` rows begun and not ended."""
        flight: list[Planned] = []
        draw = self.rng.random
        for row in rows:
            if len(flight) < IN_FLIGHT:
                flight.append(row)
                continue
            place = int(draw() * IN_FLIGHT)
            done, flight[place] = flight[place], row
            yield self._answer(done)
        for row in flight:
            yield self._answer(row)

    def _answer(self, row: Planned) -> Rollout:
        sample_id, caption_index, rollout_index = row.key
        start = int(self.rng.random() * (POOL - CHARACTERS))
        return Rollout(
            sample_id=sample_id,
            caption_index=caption_index,
            rollout_index=rollout_index,
            text=self.text[start : start + CHARACTERS],
            num_tokens=TOKENS,
            token_ids=self.tokens[start : start + TOKENS],
            logprob=-123.4,
            finish_reason="stop",
            seed=start,
            model="none",
        )


def plan(samples: int, index: int) -> Iterator[Planned]:
    """The rows of a shard: every `NUM_SHARDS`-th sample."""
    prompts = (
        ((f"{sample:016x}", caption), None)
        for sample in range(index, samples, NUM_SHARDS)
        for caption in range(CAPTIONS)
    )
    return group_rows(prompts, range(ROLLOUTS), 1)


def make_rollouts(rows: int, folder: Path) -> dict[str, float]:
    """Write a table of rollouts in this process.

    Args:
        rows: how many, in whole samples.
        folder: the run.
    """
    samples = max(1, rows // (CAPTIONS * ROLLOUTS))
    rows = samples * CAPTIONS * ROLLOUTS
    job = Job(
        stage="reason",
        run_dir=folder,
        seed=0,
        models={},
        metadata=tables.Metadata(stage="reason", digest="d", root="r"),
        report=ConsoleReport(),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = map_shards(
        job,
        record=Rollout,
        table="rollouts",
        count=NUM_SHARDS,
        plan=lambda index: plan(samples, index),
        execute=StandIn().execute,
        total=rows,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert outcome.complete and outcome.rows == rows, outcome
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began = time.process_time()
    some = min(rows, 20_000)
    alone = StandIn().execute(row for index in range(NUM_SHARDS) for row in plan(some // 64, index))
    number = sum(1 for _ in alone)
    stand_in = (time.process_time() - began) / max(1, number)
    return {
        "own_microseconds_per_rollout": round(1e6 * (cpu / rows - stand_in), 2),
        "wall_microseconds_per_rollout": round(1e6 * wall / rows, 2),
        "peak_gib_million_rollouts": round(peak / 2**30, 3),
        "rows": rows,
    }


def measure_runner(rows: int) -> dict[str, float]:
    """Run `make_rollouts` in a fresh process.

    Returns:
        `own_microseconds_per_rollout`: processor time of everything but the stand-in;
        `wall_microseconds_per_rollout`: the clock's, stand-in and disk included;
        `peak_gib_million_rollouts`: largest resident memory of the process; `rows`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--rows", str(rows)]
        done = subprocess.run([*command, "--into", folder], stdout=subprocess.PIPE, check=True)
        result: dict[str, float] = json.loads(done.stdout)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end in one JSON object")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--into", type=Path, help="write them there, in this very process")
    arguments = parser.parse_args()
    if arguments.into:
        print(json.dumps(make_rollouts(arguments.rows, arguments.into)))
        return
    result = measure_runner(arguments.rows)
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
