"""Verdicts on the way: by the verify stage's rules, and without waiting for algebra."""

import time
from pathlib import Path

from data import tables
from data.records import Rollout, Sample
from stages.early_verdicts import EarlyVerdicts
from stages.pruning import Pruner
from stages.verifiers.pool import Judge
from tests.performance.pruning import make_job


def rollout(index: int, answer: str) -> Rollout:
    return Rollout(
        sample_id="s",
        caption_index=0,
        rollout_index=index,
        text=f"**Final answer** \\boxed{{{answer}}}",
        num_tokens=10,
        finish_reason="stop",
    )


def test_a_comparison_is_not_waited_for(tmp_path: Path) -> None:
    samples = tables.to_table(
        [Sample(sample_id="s", question="?", answer=r"\sum_{k=1}^{4} k")], Sample
    )
    path = tables.shard_path(tmp_path / "samples", 0, 1)
    tables.write_atomically(path, samples, tables.Metadata(stage="ingest", digest="d"))
    pruner = Pruner(alpha=0.5, keep=1, num_rollouts=3)
    with Judge(timeout_seconds=60, num_workers=1) as judge:
        verdicts = EarlyVerdicts(make_job("reason", tmp_path), 3, pruner, judge)
        verdicts.expect(0, 1, "samples")
        judge.check_engine()
        started = time.monotonic()
        verdicts.record(rollout(0, r"\sum_{k=2}^{4} k + 1"))
        verdicts.record(rollout(1, r"1 + \sum_{k=2}^{4} k"))
        assert pruner.keeps(("s", 0, 2), 10), "nothing is known yet"
        while pruner.keeps(("s", 0, 2), 10):
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        assert pruner.keeps(("s", 0, 2), 9)
        verdicts.record(rollout(2, r"\sum_{k=2}^{4} k + 1"))
        while verdicts.samples:
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        assert not pruner.follows("s")


def test_a_bomb_costs_the_engine_neither_time_nor_memory(tmp_path: Path) -> None:
    samples = tables.to_table([Sample(sample_id="s", question="?", answer="2")], Sample)
    path = tables.shard_path(tmp_path / "samples", 0, 1)
    tables.write_atomically(path, samples, tables.Metadata(stage="ingest", digest="d"))
    pruner = Pruner(alpha=0.5, keep=1, num_rollouts=2)
    with Judge(timeout_seconds=5, num_workers=1) as judge:
        verdicts = EarlyVerdicts(make_job("reason", tmp_path), 2, pruner, judge)
        verdicts.expect(0, 1, "samples")
        judge.check_engine()
        started = time.monotonic()
        verdicts.record(rollout(0, r"\int_0^1 x^x \sin(\cos(x^{x+912})) dx"))
        verdicts.record(rollout(1, "2"))
        assert time.monotonic() - started < 1.0, "nothing is waited for"
        while verdicts.samples:
            assert time.monotonic() - started < 60
            time.sleep(0.01)
