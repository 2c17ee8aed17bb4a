"""The results of an evaluation from its tables: by rule, and with a model's verdicts beside.

Input tables: evals/BENCHMARK and, where there is one, evals/BENCHMARK/judged. Output: results.json.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import tables
from data.files import write_whole
from data.records import KEYS, Attempted, Verdict
from stages.identity import identify
from stages.provenance import provenance
from stages.scores import summarize

JUDGED = "judged"
"""The folder, inside that of an evaluation, of what a model says of its answers."""
COLUMNS = (
    *("sample_id", "rollout_index", "outcome_reward", "status", "num_tokens", "extracted_answer"),
    *("verifier_reward", "cluster", "labels", "scorer"),
)
CHANGED = ("status", "outcome_reward", "extracted_answer")
JUDGED_COLUMNS = (*KEYS, *CHANGED, "rule_status", "llm")


def write_results(
    folder: Path, told: Mapping[str, Any], made_with: Mapping[str, Any], *, has_variants: bool
) -> dict[str, Any]:
    """Work out the results of a complete evaluation, and write them beside its tables.

    Args:
        folder: of the evaluation.
        told: what else the results say.
        made_with: what `provenance` is told of questions, prompt and sampling.
        has_variants: as in `summarize`.
    """
    attempts = read_attempts(folder)
    results = summarize(attempts, has_variants=has_variants)
    if judged := _summarize_judged(folder, attempts, has_variants=has_variants):
        results["judged"] = judged
    results |= told
    results["provenance"] = provenance(attempts, **made_with)
    write_whole(folder / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """The rows of an evaluation, as far as its results need them."""
    return [
        row for path in tables.shards(folder) for row in tables.read_rows(path, Attempted, COLUMNS)
    ]


def _summarize_judged(
    folder: Path, attempts: Sequence[Mapping[str, Any]], *, has_variants: bool
) -> dict[str, Any] | None:
    """The results with the model's verdicts in place of the rules'.

    Returns:
        As `summarize`, and `llm`, `num_asked`, `num_changed`; None where the judged table is not
        there, or is not of all these rows as they are now.
    """
    if not all(_is_of_these(folder, path) for path in tables.shards(folder / JUDGED)):
        return None
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in tables.shards(folder / JUDGED):
        for row in tables.read_rows(path, Verdict, JUDGED_COLUMNS):
            found[tuple(row[name] for name in KEYS)] = row
    judged = []
    for attempt in attempts:
        model_says = found.get((attempt["sample_id"], 0, attempt["rollout_index"]))
        if model_says is None:
            return None
        changed = {name: model_says[name] for name in CHANGED}
        judged.append({**attempt, "verifier_reward": None, **changed})
    pairs = zip(attempts, judged, strict=True)
    asked = [row for row in found.values() if row["rule_status"] is not None]
    return summarize(judged, has_variants=has_variants) | {
        "llm": sorted({str(row["llm"]).partition(" ")[0] for row in asked}),
        "num_asked": len(asked),
        "num_changed": sum(old["outcome_reward"] != new["outcome_reward"] for old, new in pairs),
    }


def _is_of_these(folder: Path, judged: Path) -> bool:
    """Whether a judged shard was made from the answers as they are now, and not from older ones."""
    made = tables.read_metadata(judged)
    if made is None:
        return True
    now = identify(made.stage, made.settings, made.growing, [folder])
    return made.digest == now.digest
