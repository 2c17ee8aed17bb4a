"""Two evaluations on the same questions: the difference, and whether it may be chance.

Questions are paired: the same question is hard for both, so the difference varies far less than
the two scores do, and overlapping intervals of the scores say nothing (Miller, 2411.00640).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.scores import pass_at_1

NUM_RESAMPLES = 9999
Z_95 = 1.959963984540054
"""Of a normal distribution 95 % lie within so many standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of one question."""

    mean: float
    """Mean reward of its judged answers."""
    num_answers: int
    cluster: str | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The second evaluation against the first."""

    first: float
    second: float
    """pass@1 on the shared questions."""
    difference: float
    """Second minus first."""
    standard_error: float | None
    interval: tuple[float, float] | None
    """95 % interval of the difference; None for a single question."""
    p_value: float
    test: str
    """`exact McNemar` for one answer to each question, else `sign-flip permutation`."""
    num_questions: int
    """Judged in both."""
    num_left_out: int
    """Judged in one of the two alone."""
    gained: tuple[str, ...]
    """Questions that the second gets right in more than half of its answers, and the first not."""
    lost: tuple[str, ...]


def by_question(rows: Iterable[Mapping[str, Any]]) -> dict[str, Answered]:
    """Question -> what came of it, of those with a judged answer."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["outcome_reward"] is not None:
            found[row["sample_id"]].append(row)
    return {
        name: Answered(
            mean=sum(row["outcome_reward"] for row in answers) / len(answers),
            num_answers=len(answers),
            cluster=answers[0].get("cluster"),
        )
        for name, answers in found.items()
    }


def compare(first: Mapping[str, Answered], second: Mapping[str, Answered]) -> Comparison | None:
    """Pair two evaluations question by question; None where they share none."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    differences = [second[name].mean - first[name].mean for name in shared]
    clusters = [first[name].cluster for name in shared]
    score = pass_at_1([[each] for each in differences], clusters)
    value, error = score.value or 0.0, score.standard_error
    gained = [n for n in shared if first[n].mean <= 0.5 < second[n].mean]
    lost = [n for n in shared if second[n].mean <= 0.5 < first[n].mean]
    single = all(
        each[name].num_answers == 1 and each[name].mean in (0, 1)
        for each in (first, second)
        for name in shared
    )
    if single and not any(clusters):
        test, p_value = "exact McNemar", mcnemar(len(gained), len(lost))
    else:
        test, p_value = "sign-flip permutation", sign_flip(differences, clusters)
    return Comparison(
        first=sum(first[name].mean for name in shared) / len(shared),
        second=sum(second[name].mean for name in shared) / len(shared),
        difference=value,
        standard_error=error,
        interval=None if error is None else (value - Z_95 * error, value + Z_95 * error),
        p_value=p_value,
        test=test,
        num_questions=len(shared),
        num_left_out=len(first.keys() ^ second.keys()),
        gained=tuple(gained),
        lost=tuple(lost),
    )


def mcnemar(gained: int, lost: int) -> float:
    """Exact: a question that one alone gets right is as likely to be the one's as the other's."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def sign_flip(differences: Sequence[float], clusters: Sequence[str | None]) -> float:
    """How often differences of random sign are as far from zero as these; two-sided.

    Variants of one question change sign together. All signs are tried where they are few.
    """
    import numpy as np
    from scipy.stats import permutation_test

    sums: dict[Any, float] = defaultdict(float)
    for number, (difference, cluster) in enumerate(zip(differences, clusters, strict=True)):
        sums[number if cluster is None else cluster] += difference
    changed = np.array([total for total in sums.values() if total])
    if len(changed) < 2:  # of a single one, both signs are as far from zero
        return 1.0
    found = permutation_test(
        (changed,),
        lambda values, axis: np.sum(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=NUM_RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
