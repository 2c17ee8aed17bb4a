"""What an evaluation says of recorded answers: the benchmark's own rule, else the verifier."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from stages.verifiers import Attempt, Judgement
from stages.verifiers.pool import Judge
from tests.stages.benchmarks.parity.cases import KINDS, Case


def judged(recorded: Iterable[Case]) -> list[Judgement]:
    """A judgement for each answer, as `stages.eval` comes to it."""
    listed = list(recorded)
    found: dict[int, list[Judgement]] = {}
    for number, case in enumerate(listed):
        score = KINDS[case.type].published.score
        if score and (own := score(case.question, case.response)):
            found[number] = [own]
    with Judge(num_workers=1) as judge:
        for number, judgement in judge.judge(_attempts(listed, set(found))):
            found.setdefault(number, []).append(judgement)
    rank = {1.0: 0, None: 1, 0.0: 2}
    return [
        min(found[number], key=lambda each: rank[each.outcome_reward])
        for number in range(len(listed))
    ]


def _attempts(listed: Sequence[Case], done: Collection[int]) -> Iterator[tuple[int, Attempt]]:
    for number, case in enumerate(listed):
        if number in done:
            continue
        asked = vars(case.question.sample)
        choices = list(case.question.options) or asked["choices"]
        for gold in (asked["answer"], *case.question.alternatives):
            sample = asked | {"answer": gold, "choices": choices}
            yield number, Attempt.of(sample, {"text": case.response, "finish_reason": "stop"})
