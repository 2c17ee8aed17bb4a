"""Verdicts of rollouts while others are being written, for the pruner.

They are the verify stage's own, by its settings, but are kept nowhere: that stage judges again what
is in the table. No verdict on a new row is waited for: the pruner is told when there is one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from data import tables
from data.errors import ConfigError
from data.records import Caption, Rollout, Sample
from stages.job import Job, Key
from stages.pruning import Pruner
from stages.verifiers import SAMPLE_COLUMNS, Attempt, Judgement
from stages.verifiers.pool import Judge

PRUNING_SETTINGS = (
    *("propagate.alpha", "propagate.keep", "propagate.select"),
    *("verify.timeout_seconds", "verify.num_workers", "verify.llm_judge", "verify.llm_extractor"),
)
"""What a stage that prunes borrows of other stages' settings."""

Tell = Callable[[Judgement], None]


class EarlyVerdicts:
    """Judges rollouts as they come, and tells a pruner.

    Args:
        job: the attempt.
        num_rollouts: N, rollouts per prompt.
        pruner: learns every verdict.
        judge: makes them.
    """

    def __init__(self, job: Job, num_rollouts: int, pruner: Pruner, judge: Judge) -> None:
        self.job = job
        self.num_rollouts = num_rollouts
        self.pruner = pruner
        self.judge = judge
        self.samples: dict[str, Mapping[str, Any]] = {}

    def expect(self, index: int, count: int, prompts: str) -> None:
        """Take up a shard's samples.

        Args:
            index: the shard.
            count: the number of shards.
            prompts: the table of which each row gets N rollouts, `samples` or `captions`.
        """
        record = Caption if prompts == "captions" else Sample
        path = tables.shard_path(self.job.folder(prompts), index, count)
        asked = Counter(row["sample_id"] for row in tables.read_rows(path, record, ("sample_id",)))
        path = tables.shard_path(self.job.folder("samples"), index, count)
        for sample in tables.read_rows(path, Sample, SAMPLE_COLUMNS):
            if num_prompts := asked[sample["sample_id"]]:
                self.samples[sample["sample_id"]] = sample
                self.pruner.expect(sample["sample_id"], num_prompts * self.num_rollouts)

    def remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in rows of `rollouts` that earlier attempts have committed.

        Their verdicts are waited for, so that nothing is begun that was settled before.
        """
        to_judge = (case for row in rows if (case := self._take(row)))
        for tell, found in self.judge.judge(to_judge, self.job.should_stop):
            tell(found)

    def record(self, rollout: Rollout) -> None:
        """Take in a new row."""
        if case := self._take(vars(rollout)):
            tell, attempt = case
            self.judge.submit(attempt, tell)

    def _take(self, row: Mapping[str, Any]) -> tuple[Tell, Attempt] | None:
        """What is to be judged of a row, and who is to be told; None where nothing is."""
        key = (row["sample_id"], row["caption_index"], row["rollout_index"])
        sample = self.samples.get(key[0])
        if sample is None or row["finish_reason"] == "unfinished":
            return None
        if row["finish_reason"] == "pruned":
            self.pruner.pruned(key, row["num_tokens"])
            self._forget(key[0])
            return None
        tell = partial(self._tell, sample, key, row["num_tokens"])
        return tell, Attempt.of(sample, row)

    def _tell(self, sample: Mapping[str, Any], key: Key, num_tokens: int, found: Judgement) -> None:
        if self.samples.get(key[0]) is not sample:
            return  # its shard was lost and taken up again, perhaps without this row
        self.pruner.finished(key, num_tokens, found.outcome_reward)
        self._forget(key[0])

    def _forget(self, sample_id: str) -> None:
        if not self.pruner.follows(sample_id):
            self.samples.pop(sample_id, None)


@contextmanager
def early_verdicts(job: Job, num_rollouts: int) -> Iterator[EarlyVerdicts]:
    """Verdicts and a pruner by the settings that `job` borrows, for as long as the block runs.

    Raises:
        ConfigError: pruning can't serve `propagate.select`, or verdicts that a model overturns.
    """
    if (select := job.borrowed["propagate.select"]) != "shortest":
        raise ConfigError(
            f'reason.prune = "exact" drops rollouts that propagate.select = "{select}" may need.',
            'Set reason.prune = "off", or propagate.select = "shortest".',
        )
    if job.borrowed["verify.llm_judge"] or job.borrowed["verify.llm_extractor"] != "off":
        raise ConfigError(
            'reason.prune = "exact" goes by what the rules say, which a model is to overturn.',
            'Set reason.prune = "off", or leave verify.llm_judge and verify.llm_extractor off.',
        )
    pruner = Pruner(
        alpha=job.borrowed["propagate.alpha"],
        keep=job.borrowed["propagate.keep"],
        num_rollouts=num_rollouts,
    )
    timeout, workers = job.borrowed["verify.timeout_seconds"], job.borrowed["verify.num_workers"]
    with Judge(timeout, workers) as judge:
        judge.check_engine()  # what is given up for a wrong verdict is lost for good
        yield EarlyVerdicts(job, num_rollouts, pruner, judge)
