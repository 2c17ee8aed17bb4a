"""What an evaluation says of recorded answers: the benchmark's own rule, else the verifier."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from stages.benchmark_verdicts import attempts_at, best, by_own_rule
from stages.verifiers import Attempt, Judgement
from stages.verifiers.pool import Judge
from tests.stages.benchmarks.parity.cases import KINDS, Case

NOTHING = Judgement(status="unverifiable")


def judged(recorded: Iterable[Case]) -> list[Judgement]:
    """A judgement for each answer; the verifier is asked where the rule says nothing."""
    listed = list(recorded)
    found: dict[int, list[Judgement]] = {}
    for number, case in enumerate(listed):
        score = KINDS[case.type].published.score
        own, _ = by_own_rule(case.question, case.response, NOTHING, score)
        if own is not NOTHING:
            found[number] = [own]
    with Judge(num_workers=1) as judge:
        for number, judgement in judge.judge(_attempts(listed, set(found))):
            found.setdefault(number, []).append(judgement)
    return [best(found[number]) for number in range(len(listed))]


def _attempts(listed: Sequence[Case], done: Collection[int]) -> Iterator[tuple[int, Attempt]]:
    for number, case in enumerate(listed):
        if number not in done:
            for attempt in attempts_at(case.question, _answered(case)):
                yield number, attempt


def _answered(case: Case) -> dict[str, str]:
    return {"text": case.response, "finish_reason": "stop"}
