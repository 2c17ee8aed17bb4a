"""propagate-reward beside merely reading the columns that it needs, and the memory it takes.

The tables are drawn: 64 rollouts per sample (8 captions, 8 rollouts each) with a word of text, in
shards of 4,096 samples (`--samples-per-shard`; `sophia ingest` makes shards of 256 unless told
`--num-shards`) and in row groups of the size that `sophia reason` makes. Lengths are
lognormal, median 5,000 tokens; a hundredth of the rollouts could not be judged, some were cut off
or failed. The scan reads keys, num_tokens and finish_reason of the rollouts and keys, status and
outcome_reward of the verdicts with pyarrow, in the batches that the stage reads. Both run in
processes of their own, in turns; `peak_gib` is the most resident memory that the stage's process
ever had, `cpu_vs_scan` compares processor time, which depends less on who else is at work.

    python tests/performance/propagation.py --json
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data import tables
from data.records import Rollout, Verdict, schema
from stages import propagate_reward
from stages.job import Job
from stages.rollout_shard import BATCH_ROWS, ROLLOUT_COLUMNS, VERDICT_COLUMNS

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a file, it is to find `tests`

from tests.reports import SilentReport

K, N = 8, 8
SAMPLES_PER_SHARD = 4096
MEDIAN_TOKENS, SIGMA, MAX_TOKENS = 5_000, 0.7, 32_768
FINISH = pa.array(["stop", "length", "error"])
STATUS = pa.array(["correct", "incorrect", "no_answer", "truncated", "timeout", "error"])
CORRECT, INCORRECT, NO_ANSWER, TRUNCATED, TIMEOUT, ERROR = range(6)


def draw_shard(draw: np.random.Generator, num_samples: int) -> tuple[pa.Table, pa.Table]:
    """The rollouts and verdicts of some samples, in the order in which the stages write them."""
    rows = num_samples * K * N
    names = pa.array([f"{number:016x}" for number in draw.integers(0, 2**63, num_samples)])
    keys = {
        "sample_id": names.take(pa.array(np.arange(rows) // (K * N))),
        "caption_index": pa.array(np.tile(np.repeat(np.arange(K), N), num_samples), pa.int32()),
        "rollout_index": pa.array(np.tile(np.arange(N), num_samples * K), pa.int32()),
    }
    of_sample = draw.beta(1.2, 1.0, num_samples)
    mean = np.clip(np.repeat(of_sample, K), 0.01, 0.99)
    is_right = draw.random(rows) < np.repeat(draw.beta(6 * mean, 6 * (1 - mean)), N)
    length = draw.lognormal(np.log(MEDIAN_TOKENS), SIGMA, rows) * np.where(is_right, 1.0, 1.6)
    kind, is_long = draw.random(rows), length >= MAX_TOKENS
    finish = np.select([kind < 0.002, is_long], [2, 1], 0)
    status = np.select(
        [finish == 2, finish == 1, kind < 0.01, is_right, kind < 0.05],
        [ERROR, TRUNCATED, TIMEOUT, CORRECT, NO_ANSWER],
        INCORRECT,
    )
    rollouts = keys | {
        "text": pa.repeat("...", rows),
        "num_tokens": pa.array(np.minimum(length, MAX_TOKENS).astype(np.int32)),
        "finish_reason": FINISH.take(pa.array(finish)),
    }
    unjudged = (status == TIMEOUT) | (status == ERROR)
    verdicts = keys | {
        "status": STATUS.take(pa.array(status)),
        "outcome_reward": pa.array((status == CORRECT).astype(np.float32), mask=unjudged),
    }
    return as_table(rollouts, Rollout), as_table(verdicts, Verdict)


def as_table(columns: dict[str, Any], record: type) -> pa.Table:
    """Columns in a record's schema; those left out are null."""
    rows = len(columns["sample_id"])
    return pa.table(
        [columns.get(field.name, pa.nulls(rows, field.type)) for field in schema(record)],
        schema=schema(record),
    )


def write_tables(run_dir: Path, rows: int, samples_per_shard: int) -> int:
    """Draw rollouts and verdicts; how many shards there are."""
    draw = np.random.default_rng(0)
    num_samples = max(1, rows // (K * N))
    count = -(-num_samples // samples_per_shard)
    for index in range(count):
        size = min(samples_per_shard, num_samples - index * samples_per_shard)
        drawn = draw_shard(draw, size)
        for name, table in zip(("rollouts", "verdicts"), drawn, strict=True):
            metadata = tables.Metadata(stage=name, digest=name, num_rows=table.num_rows)
            path = tables.shard_path(run_dir / name, index, count)
            tables.stream_atomically(path, table.schema, groups(table), partial(replace, metadata))
    return count


def groups(table: pa.Table) -> Iterator[pa.Table]:
    """Row groups of the size that the other stages write."""
    for first in range(0, table.num_rows, tables.ROW_GROUP_ROWS):
        yield table.slice(first, tables.ROW_GROUP_ROWS)


def read_columns(run_dir: Path, count: int) -> int:
    """The scan; how many rollouts it saw."""
    rows = 0
    for index in range(count):
        for name, columns in (("rollouts", ROLLOUT_COLUMNS), ("verdicts", VERDICT_COLUMNS)):
            file = pq.ParquetFile(tables.shard_path(run_dir / name, index, count))
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                rows += batch.num_rows if name == "rollouts" else 0
    return rows


def propagate(run_dir: Path) -> int:
    """The stage; how many rollouts it rewarded."""
    for name in ("rewards", "trajectories"):
        shutil.rmtree(run_dir / name, ignore_errors=True)
    job = Job(
        stage="propagate-reward",
        run_dir=run_dir,
        seed=0,
        models={},
        metadata=tables.Metadata(stage="propagate-reward", digest="rewards"),
        report=SilentReport(),
    )
    return propagate_reward.run(job, propagate_reward.Config()).rows


def peak_bytes() -> int:
    """The most memory this process ever had; not, as `getrusage` has it, what its parent had."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def run_arm(arm: str, run_dir: Path) -> dict[str, float]:
    """One arm in this process."""
    count = tables.shard_count(run_dir / "rollouts")
    started, used = time.perf_counter(), time.process_time()
    rows = read_columns(run_dir, count) if arm == "scan" else propagate(run_dir)
    seconds = time.perf_counter() - started
    return {
        "rows": rows,
        "rows_per_second": rows / seconds,
        "cpu_seconds": time.process_time() - used,
        "peak_gib": peak_bytes() / 2**30,
    }


def measure(run_dir: Path, rounds: int) -> dict[str, Any]:
    """Both arms in turns, each time in a fresh process."""
    runs: dict[str, list[dict[str, float]]] = {"scan": [], "ours": []}
    for _ in range(rounds):
        for arm, found in runs.items():
            command = [sys.executable, __file__, "--arm", arm, "--folder", str(run_dir)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout))
            print(arm, done.stdout.strip(), file=sys.stderr, flush=True)

    def median(arm: str, figure: str) -> float:
        return statistics.median(run[figure] for run in runs[arm])

    speed, scan_speed = median("ours", "rows_per_second"), median("scan", "rows_per_second")
    cpu = median("scan", "cpu_seconds") / median("ours", "cpu_seconds")
    return {
        "vs_scan": round(speed / scan_speed, 3),
        "peak_gib": round(max(run["peak_gib"] for run in runs["ours"]), 3),
        "rows": int(runs["ours"][0]["rows"]),
        "cpu_vs_scan": round(cpu, 3),
        "rows_per_second": round(speed),
        "scan_rows_per_second": round(scan_speed),
    }


def main() -> None:
    """Draw the tables and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end in one JSON object")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rollouts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples-per-shard", type=int, default=SAMPLES_PER_SHARD)
    parser.add_argument("--folder", type=Path, help="tables drawn before; default: draw new ones")
    parser.add_argument("--arm", choices=["scan", "ours"], help="only this, in this process")
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(run_arm(arguments.arm, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        run_dir = arguments.folder or Path(name)
        if not tables.shards(run_dir / "rollouts"):
            write_tables(run_dir, arguments.rows, arguments.samples_per_shard)
        result = measure(run_dir, arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24}{value}")


if __name__ == "__main__":
    main()
