"""Two teachers: the reasoner answers first, and the questions it fails at go to the hard reasoner.

The paper has one for easy questions and one for hard ones, and does not say how it tells them
apart. Here a question is hard when its pass rate is below `reason.hard_below`: the one to expect by
the sample's `difficulty`, or else that of the reasoner's own rollouts of all the sample's captions.

Two passes over the captions write two tables. `probes` are the reasoner's rollouts of every
question that is not known to be hard: all that a run without a hard reasoner would write, and what
they say of themselves is the same. `rollouts` takes them over as they are where the question proves
to be easy, and has the hard reasoner's rows for the others.

A question of which rows are there already stays with who wrote them: neither a larger number of
rollouts nor a verdict that times out on a busy machine gives a caption two teachers.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

from data import tables
from data.errors import InputError, Stopped
from data.records import KEYS, Caption, Rollout, Sample
from stages.finished import FinishedShards, no_shard
from stages.identity import identify
from stages.job import Job, Key, Outcome, Planned
from stages.seeds import seed_for
from stages.shard_writer import Remember
from stages.verifiers import SAMPLE_COLUMNS as JUDGING_COLUMNS
from stages.verifiers import Attempt
from stages.verifiers.pool import Judge

EASY, HARD = "reasoner", "hard_reasoner"
TEACHING_SETTINGS = ("verify.timeout_seconds", "verify.num_workers")
"""What a stage with two teachers borrows of other stages' settings."""
NOT_OF_PROBES = ("reason.hard_below", *TEACHING_SETTINGS)
SAMPLE_COLUMNS = (*JUDGING_COLUMNS, "difficulty")
JUDGED_COLUMNS = (*KEYS, "text", "finish_reason", "error", "prefill")

Keyed = tuple[Key, Any]
"""A key, and what its row is made from."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A pass over the prompts that writes one table."""

    role: str
    """Who answers."""
    table: str = "rollouts"
    also_read: tuple[str, ...] = ()
    """Tables whose shard must be there too."""
    choose: Callable[[int, Iterator[Keyed]], Iterator[Keyed]] = lambda index, prompts: prompts
    """A shard's prompts -> those that the table has, with their rows in the item's `made` where
    these are not to be made again."""
    remember: Remember | None = None
    is_short: Callable[[int], bool] = no_shard


def row_seed(run_seed: int, role: str, key: Key) -> int:
    """The seed of a rollout, which also says who wrote it."""
    return seed_for(run_seed, "reason", *(["hard"] if role == HARD else []), *key)


def take_made(row: Planned) -> Planned:
    """A row whose prompt has its rows already, with its own.

    Raises:
        InputError: the prompt lacks it.
    """
    if (made := row.item.get("made")) is None:
        return row
    if row.key[2] not in made:
        raise _no_probe(row.key)
    return replace(row, made=made[row.key[2]])


def teach(
    job: Job,
    num_rollouts: int,
    hard_below: float,
    inputs: Iterable[str],
    write: Callable[[Job, Pass], Outcome],
) -> Outcome:
    """Both passes.

    Args:
        job: the attempt.
        num_rollouts: N, rollouts per caption.
        hard_below: questions with a lower pass rate go to the hard reasoner.
        inputs: the tables that the prompts come from.
        write: does what is left of a pass.

    Raises:
        RefusedError: there are rollouts that were made with other settings or inputs.
    """
    count = tables.shard_count(job.folder("samples"))
    # Where the rollouts are there already, their probes may have been deleted.
    finished = FinishedShards(job, Rollout, job.folder("rollouts"), count)
    if not all(map(finished.has, range(count))):
        first = write(_probing_job(job, inputs), _probing(job, num_rollouts, hard_below))
        if not first.complete:
            return first
    with Judge(*(job.borrowed[name] for name in TEACHING_SETTINGS)) as judge:
        second = Teaching(job, hard_below, judge).second_pass()
        outcome = write(replace(job, budget=job.budget.renewed()), second)
    if outcome.complete:
        outcome.figures["questions"] = count_questions(job)
    return outcome


def _probing_job(job: Job, inputs: Iterable[str]) -> Job:
    """The job of the first pass, whose rows know nothing of a second one."""
    settings = {
        key: value
        for key, value in job.metadata.settings.items()
        if key not in NOT_OF_PROBES and not key.startswith(f"models.{HARD}.")
    }
    folders = [job.folder(name) for name in inputs]
    metadata = identify(job.stage, settings, job.metadata.growing, folders)
    title = f"{job.stage}: probes"
    return replace(job, stage=title, metadata=metadata, budget=job.budget.renewed())


def _probing(job: Job, num_rollouts: int, hard_below: float) -> Pass:
    """The first pass."""
    count = tables.shard_count(job.folder("samples"))

    @lru_cache(maxsize=2)
    def known_hard(index: int) -> frozenset[str]:
        path = tables.shard_path(job.folder("samples"), index, count)
        samples = tables.read_rows(path, Sample, ("sample_id", "difficulty"))
        return frozenset(row["sample_id"] for row in samples if is_known_hard(row, hard_below))

    @cache
    def num_prompts(index: int) -> int:
        path = tables.shard_path(job.folder("captions"), index, count)
        captions = tables.read_rows(path, Caption, ("sample_id",))
        left_out = known_hard(index)
        return sum(row["sample_id"] not in left_out for row in captions)

    def choose(index: int, prompts: Iterator[Keyed]) -> Iterator[Keyed]:
        left_out = known_hard(index)
        return (prompt for prompt in prompts if prompt[0][0] not in left_out)

    def is_short(index: int) -> bool:
        # Where samples say how difficult they are, which rows there are depends on `hard_below`:
        # with a lower one there are more, and none has to go.
        path = tables.shard_path(job.folder("probes"), index, count)
        return tables.count_rows_of_part(path) < num_prompts(index) * num_rollouts

    return Pass(role=EASY, table="probes", choose=choose, is_short=is_short)


def is_known_hard(sample: Mapping[str, Any], hard_below: float) -> bool:
    """Whether a sample says of itself that it is hard."""
    difficulty = sample["difficulty"]
    # Rounded, for 0.8 is a little more than that as a float32.
    return difficulty is not None and round(1 - difficulty, 6) < hard_below


class Teaching:
    """Who teaches what in the second pass.

    Args:
        job: the attempt.
        hard_below: questions with a lower pass rate are hard.
        judge: says what of the probes is right.
    """

    def __init__(self, job: Job, hard_below: float, judge: Judge) -> None:
        self.job = job
        self.hard_below = hard_below
        self.judge = judge
        self.count = tables.shard_count(job.folder("samples"))
        self.begun: dict[str, bool] = {}
        """Sample of the shard that is taken up -> whether the hard reasoner writes it."""

    def second_pass(self) -> Pass:
        """The second pass."""
        return Pass(role=HARD, also_read=("probes",), choose=self._choose, remember=self._remember)

    def _remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.begun = {row["sample_id"]: is_of_hard(self.job, row) for row in rows}

    def _choose(self, index: int, prompts: Iterator[Keyed]) -> Iterator[Keyed]:
        """All prompts of a shard, those of easy questions with their probes."""
        hard = self._hard_questions(index)
        path = tables.shard_path(self.job.folder("probes"), index, self.count)
        probes = groupby(tables.read_rows(path, Rollout), key=_prompt_key)
        ahead: dict[Key, dict[int, Rollout]] = {}  # none but where captions are in no order
        for key, item in prompts:
            self._stop_if_asked()
            if key[0] in hard:
                yield key, item
                continue
            while key not in ahead:
                found, rows = next(probes, (None, iter(())))
                if found is None:
                    raise _no_probe(key)
                if found[0] not in hard:
                    ahead[found] = {row["rollout_index"]: Rollout(**row) for row in rows}
            yield key, item | {"made": ahead.pop(key)}

    def _hard_questions(self, index: int) -> set[str]:
        """The samples of a shard that the hard reasoner writes."""
        path = tables.shard_path(self.job.folder("samples"), index, self.count)
        hard = {sample_id for sample_id, is_hard in self.begun.items() if is_hard}
        unknown: dict[str, Mapping[str, Any]] = {}
        for sample in tables.read_rows(path, Sample, SAMPLE_COLUMNS):
            if sample["sample_id"] in self.begun:
                continue
            if sample["difficulty"] is None:
                unknown[sample["sample_id"]] = sample
            elif is_known_hard(sample, self.hard_below):
                hard.add(sample["sample_id"])
        path = tables.shard_path(self.job.folder("probes"), index, self.count)
        attempts = (
            (row["sample_id"], Attempt.of(unknown[row["sample_id"]], row))
            for row in tables.read_rows(path, Rollout, JUDGED_COLUMNS)
            if row["sample_id"] in unknown
        )
        judged, right = Counter[str](), Counter[str]()
        for sample_id, found in self.judge.judge(attempts, self.job.should_stop):
            if found.outcome_reward is not None:
                judged[sample_id] += 1
                right[sample_id] += found.status == "correct"
        self._stop_if_asked()
        # Without a verdict there is no reason to trouble the hard one.
        return hard | {name for name, n in judged.items() if right[name] / n < self.hard_below}

    def _stop_if_asked(self) -> None:
        if self.job.should_stop():
            raise Stopped("Stopped while questions were assigned.", "The same command continues.")


def is_of_hard(job: Job, row: Mapping[str, Any]) -> bool:
    """Whether a row of `rollouts` is the hard reasoner's own."""
    key = tuple(row[name] for name in KEYS)
    return bool(row["seed"] == row_seed(job.seed, HARD, key))


def count_questions(job: Job) -> dict[str, int]:
    """Teacher -> the questions that it has answered, in the whole table."""
    counts = dict.fromkeys((EASY, HARD), 0)
    for path in tables.shards(job.folder("rollouts")):
        rows = tables.read_rows(path, Rollout, (*KEYS, "seed"))
        for _, members in groupby(rows, key=lambda row: row["sample_id"]):
            counts[HARD if is_of_hard(job, next(members)) else EASY] += 1
    return counts


def _prompt_key(row: Mapping[str, Any]) -> Key:
    return row["sample_id"], row["caption_index"]


def _no_probe(key: Key) -> InputError:
    return InputError(
        f"probes/ lacks rows of sample {key[0]!r}.", "Delete probes/ and run `sophia reason` again."
    )
