"""propagate-reward beside merely reading the columns that it needs, and the memory it takes.

The tables are drawn: 64 rollouts per sample (8 captions, 8 rollouts each) with a word of text, in
shards of 4,096 samples (`--samples-per-shard`; `sophia ingest` makes shards of 256 unless told
`--num-shards`) and in row groups of the size that `sophia reason` makes. Lengths are
lognormal, median 5,000 tokens; a hundredth of the rollouts could not be judged, some were cut off
or failed. The scan reads keys, num_tokens and finish_reason of the rollouts and keys, status and
outcome_reward of the verdicts with pyarrow, as one would write it: file by file, by `iter_batches`
or by `read_table`, and the faster of the two counts. All run in processes of their own, in turns;
`cpu_vs_scan` compares processor time, which depends less on who else is at work.

`peak_gib` is the most resident memory that a process of the stage ever had. Half of these run on
other tables, whose texts are as long as their tokens say (`--text-rows`, in a shard for each thread
of the stage); `texts_vs_scan` is the stage's speed there beside reading these texts too.

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
from stages.rollout_shard import ROLLOUT_COLUMNS, VERDICT_COLUMNS

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a file, it is to find `tests`

from tests.reports import SilentReport

K, N = 8, 8
SCANS = ("iter_batches", "read_table")
TEXTS = "texts"
"""Folder of the run whose texts have their full length."""
SAMPLES_PER_SHARD = 4096
MEDIAN_TOKENS, SIGMA, MAX_TOKENS = 5_000, 0.7, 32_768
CHARACTERS_PER_TOKEN = 4
WORDS = 2**22
"""Characters of made-up words, of which each text is a part."""
FINISH = pa.array(["stop", "length", "error"])
STATUS = pa.array(["correct", "incorrect", "no_answer", "truncated", "timeout", "error"])
CORRECT, INCORRECT, NO_ANSWER, TRUNCATED, TIMEOUT, ERROR = range(6)


def draw_texts(draw: np.random.Generator, num_tokens: Any) -> pa.Array:
    """A text of each length."""
    words = draw.choice(np.frombuffer(b"etaoinshrdlucmfw    ", np.uint8), WORDS).tobytes().decode()
    begins = draw.integers(0, WORDS - CHARACTERS_PER_TOKEN * MAX_TOKENS, len(num_tokens))
    ends = begins + CHARACTERS_PER_TOKEN * num_tokens
    return pa.array([words[begin:end] for begin, end in zip(begins, ends, strict=True)])


def draw_shard(
    draw: np.random.Generator, num_samples: int, *, with_texts: bool
) -> tuple[pa.Table, pa.Table]:
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
    num_tokens = np.minimum(length, MAX_TOKENS).astype(np.int32)
    rollouts = keys | {
        "text": draw_texts(draw, num_tokens) if with_texts else pa.repeat("...", rows),
        "num_tokens": pa.array(num_tokens),
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


def write_tables(
    run_dir: Path, rows: int, samples_per_shard: int, *, with_texts: bool = False
) -> None:
    """Draw rollouts and verdicts."""
    draw = np.random.default_rng(0)
    num_samples = max(1, rows // (K * N))
    count = -(-num_samples // samples_per_shard)
    for index in range(count):
        size = min(samples_per_shard, num_samples - index * samples_per_shard)
        drawn = draw_shard(draw, size, with_texts=with_texts)
        for name, table in zip(("rollouts", "verdicts"), drawn, strict=True):
            metadata = tables.Metadata(stage=name, digest=name, num_rows=table.num_rows)
            path = tables.shard_path(run_dir / name, index, count)
            tables.stream_atomically(path, table.schema, groups(table), partial(replace, metadata))


def groups(table: pa.Table) -> Iterator[pa.Table]:
    """Row groups of the size that the other stages write."""
    rows = max(1, int(table.num_rows * tables.ROW_GROUP_BYTES / table.nbytes))
    rows = min(rows, tables.ROW_GROUP_ROWS)
    for first in range(0, table.num_rows, rows):
        yield table.slice(first, rows)


def scan(run_dir: Path, arm: str, more: tuple[str, ...] = ()) -> int:
    """Read what the stage needs, and nothing else; how many rollouts there are."""
    rows = 0
    for name, columns in (("rollouts", ROLLOUT_COLUMNS + more), ("verdicts", VERDICT_COLUMNS)):
        for path in tables.shards(run_dir / name):
            if arm == "read_table":
                found = pq.read_table(path, columns=list(columns)).num_rows
            else:
                batches = pq.ParquetFile(path).iter_batches(columns=list(columns))
                found = sum(batch.num_rows for batch in batches)
            rows += found if name == "rollouts" else 0
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
    started, used = time.perf_counter(), time.process_time()
    if arm == "ours":
        rows = propagate(run_dir)
    else:
        with_texts = run_dir.name == TEXTS and arm == "iter_batches"
        rows = scan(run_dir, arm, ("text",) if with_texts else ())
    seconds = time.perf_counter() - started
    return {
        "rows": rows,
        "rows_per_second": rows / seconds,
        "cpu_seconds": time.process_time() - used,
        "peak_gib": peak_bytes() / 2**30,
    }


def run_apart(arm: str, run_dir: Path) -> dict[str, float]:
    """One arm in a fresh process."""
    command = [sys.executable, __file__, "--arm", arm, "--folder", str(run_dir)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(run_dir.name, arm, done.stdout.strip(), file=sys.stderr, flush=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(run_dir: Path, texts: Path, rounds: int) -> dict[str, Any]:
    """All arms in turns."""
    runs: dict[tuple[Path, str], list[dict[str, float]]] = {}
    arms = [(run_dir, arm) for arm in ("ours", *SCANS)]
    arms += [(texts, "ours"), (texts, "iter_batches")]
    for _ in range(rounds):
        for folder, arm in arms:
            runs.setdefault((folder, arm), []).append(run_apart(arm, folder))

    def median(folder: Path, arm: str, figure: str) -> float:
        return statistics.median(run[figure] for run in runs[folder, arm])

    speed = median(run_dir, "ours", "rows_per_second")
    scan_speed = max(median(run_dir, arm, "rows_per_second") for arm in SCANS)
    scan_cpu = min(median(run_dir, arm, "cpu_seconds") for arm in SCANS)
    texts_speed = median(texts, "ours", "rows_per_second")
    peaks = {
        folder: max(run["peak_gib"] for run in runs[folder, "ours"]) for folder in (run_dir, texts)
    }
    return {
        "vs_scan": round(speed / scan_speed, 3),
        "peak_gib": round(max(peaks.values()), 3),
        "rows": int(runs[run_dir, "ours"][0]["rows"]),
        "cpu_vs_scan": round(scan_cpu / median(run_dir, "ours", "cpu_seconds"), 3),
        "rows_per_second": round(speed),
        "scan_rows_per_second": round(scan_speed),
        "texts_vs_scan": round(texts_speed / median(texts, "iter_batches", "rows_per_second"), 3),
        "texts_peak_gib": round(peaks[texts], 3),
        "texts_rows": int(runs[texts, "ours"][0]["rows"]),
    }


def main() -> None:
    """Draw the tables and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end in one JSON object")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rollouts")
    parser.add_argument("--text-rows", type=int, default=49_152, help="rollouts with long texts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples-per-shard", type=int, default=SAMPLES_PER_SHARD)
    parser.add_argument("--folder", type=Path, help="tables drawn before; default: draw new ones")
    parser.add_argument("--arm", choices=["ours", *SCANS], help="only this, in this process")
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(run_arm(arguments.arm, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        run_dir = arguments.folder or Path(name)
        if not tables.shards(run_dir / "rollouts"):
            write_tables(run_dir, arguments.rows, arguments.samples_per_shard)
        if not tables.shards(run_dir / TEXTS / "rollouts"):
            per_shard = -(-arguments.text_rows // (K * N * propagate_reward.NUM_THREADS))
            write_tables(run_dir / TEXTS, arguments.text_rows, per_shard, with_texts=True)
        result = measure(run_dir, run_dir / TEXTS, arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24}{value}")


if __name__ == "__main__":
    main()
