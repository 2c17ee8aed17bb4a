"""Verdicts on the way: by the verify stage's rules, and without waiting for them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data import tables
from data.records import Rollout, Sample
from stages.early_verdicts import EarlyVerdicts
from stages.pruning import Pruner
from stages.verifiers.decide import decide
from stages.verifiers.pool import Judge
from tests.performance.pruning import make_job

KEY = ("s", 0, 2)
"""A rollout that is under way."""


def rollout(index: int, answer: str) -> Rollout:
    return Rollout(
        sample_id="s",
        caption_index=0,
        rollout_index=index,
        text=f"**Final answer** \\boxed{{{answer}}}",
        num_tokens=10,
        finish_reason="stop",
    )


@contextmanager
def verdicts_on(
    folder: Path, gold: str, num_rollouts: int, timeout_seconds: float = 60
) -> Iterator[tuple[EarlyVerdicts, Pruner]]:
    """Verdicts on the rollouts of one sample, by workers that have started."""
    samples = tables.to_table([Sample(sample_id="s", question="?", answer=gold)], Sample)
    path = tables.shard_path(folder / "samples", 0, 1)
    tables.write_atomically(path, samples, tables.Metadata(stage="ingest", digest="d"))
    pruner = Pruner(alpha=0.5, keep=1, num_rollouts=num_rollouts)
    with Judge(timeout_seconds, num_workers=1) as judge:
        judge.check_engine()
        verdicts = EarlyVerdicts(make_job("reason", folder), num_rollouts, pruner, judge)
        verdicts.expect(0, 1, "samples")
        yield verdicts, pruner


def test_a_verdict_is_not_waited_for(tmp_path: Path) -> None:
    with verdicts_on(tmp_path, r"\sum_{k=1}^{4} k", 3) as (verdicts, pruner):
        started = time.monotonic()
        verdicts.record(rollout(0, r"\sum_{k=2}^{4} k + 1"))
        verdicts.record(rollout(1, r"1 + \sum_{k=2}^{4} k"))
        assert pruner.keeps(KEY, 10), "nothing is known yet"
        while pruner.keeps(KEY, 10):
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        assert pruner.keeps(KEY, 9)
        verdicts.record(rollout(2, r"\sum_{k=2}^{4} k + 1"))
        while verdicts.samples:
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        assert not pruner.follows("s")


def test_no_text_of_a_model_is_judged_in_this_process(tmp_path: Path) -> None:
    with verdicts_on(tmp_path, "2", 2, timeout_seconds=5) as (verdicts, pruner):
        decide.cache_clear()
        started = time.monotonic()
        verdicts.record(rollout(0, r"\int_0^1 x^x \sin(\cos(x^{x+912})) dx"))
        verdicts.record(rollout(1, "2"))
        assert time.monotonic() - started < 1.0, "nothing is waited for"
        while verdicts.samples:
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        assert not pruner.follows("s")
        assert decide.cache_info().misses == 0
