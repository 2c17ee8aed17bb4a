"""What the answers of an evaluation come to: pass@1, its standard error, pass@k, sub-scores.

Questions are the unit: of each the mean over its judged answers, then the mean over questions
(Miller, 2411.00640). Several answers to a question are no more independent than variants of one
question are, so the standard error is that of the means of questions, or of clusters of questions.
"""

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.verifiers.kinds.text import normalize

Row = Mapping[str, Any]
"""A row of `evals/<benchmark>`, or some of its columns."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """pass@1 over questions."""

    value: float | None
    """Mean over questions of the mean over their judged answers; None without any."""
    standard_error: float | None
    """Of `value`, from the spread between questions or clusters; None below two."""
    num_questions: int
    """Questions with at least one judged answer: the denominator."""


def pass_at_1(
    rewards: Sequence[Sequence[float]], clusters: Sequence[str | None] | None = None
) -> Score:
    """pass@1 and its standard error from each question's judged rewards.

    A question without a judged answer is left out of both.

    Args:
        rewards: question -> rewards of its judged answers.
        clusters: question -> its cluster; None: it is on its own.
    """
    clusters = clusters or [None] * len(rewards)
    judged = [(statistics.fmean(row), c) for row, c in zip(rewards, clusters, strict=True) if row]
    n = len(judged)
    if not n:
        return Score(value=None, standard_error=None, num_questions=0)
    value = statistics.fmean(mean for mean, _ in judged)
    deviations: dict[Any, float] = defaultdict(float)
    for number, (mean, cluster) in enumerate(judged):
        deviations[number if cluster is None else cluster] += mean - value
    m = len(deviations)
    error = None
    if m > 1:
        # With a question in each cluster this is the standard deviation over the root of n.
        error = math.sqrt(sum(d * d for d in deviations.values()) * m / (m - 1)) / n
    return Score(value=value, standard_error=error, num_questions=n)


def pass_at_k(rewards: Iterable[Sequence[float]], k: int) -> float | None:
    """The chance that one of k answers is right: 1 - C(n - c, k) / C(n, k), mean over questions.

    Questions with fewer than k judged answers are left out.
    """
    chances = [
        1 - math.comb(len(row) - sum(reward >= 1 for reward in row), k) / math.comb(len(row), k)
        for row in rewards
        if len(row) >= k
    ]
    return statistics.fmean(chances) if chances else None


def majority_vote(questions: Iterable[Sequence[Row]]) -> float | None:
    """The share of questions whose most frequent answer is right.

    Answers are the same when they are after normalising; of two equally frequent the one given
    first counts. A response without an answer has no vote.
    """
    rewards = []
    for rows in questions:
        ordered = sorted(rows, key=lambda row: row["rollout_index"])
        judged = [row for row in ordered if row["outcome_reward"] is not None]
        votes = [(normalize(row["extracted_answer"] or ""), row) for row in judged]
        count = Counter(answer for answer, _ in votes if answer)
        if count:
            winner = max(count, key=count.__getitem__)
            rewards.append(next(row["outcome_reward"] for answer, row in votes if answer == winner))
        elif judged:
            rewards.append(0.0)
    return statistics.fmean(rewards) if rewards else None


def worst_case(questions: Iterable[Sequence[Row]]) -> Score:
    """The share of clusters of which every variant is right, answer by answer.

    An answer of which a variant is not judged is left out, unless another one is wrong anyway.
    """
    found: dict[str, dict[int, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for rows in questions:
        for row in rows:
            found[row["cluster"]][row["rollout_index"]].append(row["outcome_reward"])
    worst = [[_worst(rewards) for rewards in by_index.values()] for by_index in found.values()]
    return pass_at_1([[reward for reward in rewards if reward is not None] for rewards in worst])


def _worst(rewards: Sequence[float | None]) -> float | None:
    """The smallest of some rewards; None where one that is not known could be smaller."""
    smallest = min((reward for reward in rewards if reward is not None), default=None)
    return smallest if smallest == 0 or None not in rewards else None


def summarize(attempts: Sequence[Row], *, has_variants: bool = False) -> dict[str, Any]:
    """The results of one evaluation, from its rows."""
    questions = _by_question(attempts)
    results = _figures(questions)
    judged = [_rewards(rows) for rows in questions]
    is_graded = any(reward not in (0, 1) for rewards in judged for reward in rewards)
    if not is_graded and (most := max(map(len, judged), default=0)) > 1:
        powers = [2**power for power in range(1, most.bit_length()) if 2**power <= most]
        results["pass_at_k"] = {
            str(k): pass_at_k(judged, k) for k in sorted({*powers, most}) if k > 1
        }
        results["majority_vote"] = majority_vote(questions)
    if has_variants:
        results["worst_case"] = vars(worst_case(questions))
    compared = [row for row in attempts if row.get("verifier_reward") is not None]
    if compared:
        rewards = [[row["verifier_reward"] for row in rows] for rows in _by_question(compared)]
        results["by_verifier"] = pass_at_1(rewards).value
        results["num_disagreements"] = sum(
            row["outcome_reward"] is not None and row["outcome_reward"] != row["verifier_reward"]
            for row in compared
        )
    if sub_scores := _sub_scores(questions):
        results["sub_scores"] = sub_scores
    return results


def _by_question(attempts: Iterable[Row]) -> list[list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in attempts:
        found[row["sample_id"]].append(row)
    return list(found.values())


def _rewards(rows: Iterable[Row]) -> list[float]:
    return [row["outcome_reward"] for row in rows if row["outcome_reward"] is not None]


def _figures(questions: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """pass@1 of some questions, and what stands beside it in every table."""
    score = pass_at_1(
        [_rewards(rows) for rows in questions], [rows[0].get("cluster") for rows in questions]
    )
    attempts = [row for rows in questions for row in rows]
    tokens = [row["num_tokens"] for row in attempts if row["status"] != "error"]
    statuses = Counter(row["status"] for row in attempts)
    return {
        "pass_at_1": score.value,
        "standard_error": score.standard_error,
        "num_questions": score.num_questions,
        "num_unjudged_questions": len(questions) - score.num_questions,
        "num_answers": len(attempts),
        "num_unjudged": sum(row["outcome_reward"] is None for row in attempts),
        "num_truncated": statuses["truncated"],
        "num_no_answer": statuses["no_answer"],
        "statuses": dict(sorted(statuses.items())),
        "num_tokens": sum(tokens),
        "mean_tokens_per_answer": statistics.fmean(tokens) if tokens else None,
    }


def _sub_scores(questions: Sequence[Sequence[Row]]) -> dict[str, dict[str, Any]]:
    """Label -> group -> its figures."""
    groups: dict[str, dict[str, list[Sequence[Row]]]] = defaultdict(lambda: defaultdict(list))
    for rows in questions:
        for label, group in json.loads(rows[0].get("labels") or "{}").items():
            groups[label][str(group)].append(rows)
    return {
        label: {group: _figures(members) for group, members in sorted(found.items())}
        for label, found in groups.items()
    }
