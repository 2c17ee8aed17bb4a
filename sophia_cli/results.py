"""Evaluations for people: scores with what stands behind them, beside the paper's, and compared."""

import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import stages.benchmarks
from data import tables
from data.errors import InputError
from data.records import Attempted
from sophia_cli.console import out, print_json, print_table
from stages.benchmarks import PAPER
from stages.comparison import Comparison, by_question, compare
from stages.eval_results import JUDGED

COLUMNS = ("pass@1 %", "±", "n", "truncated", "no answer", "unjudged", "tokens per answer")
NUM_NAMED = 10
COMPARED = ("sample_id", "outcome_reward", "cluster")


def percent(share: float | None) -> str:
    """`41.2`, or `-` where there is nothing to say."""
    return "-" if share is None else f"{100 * share:.1f}"


def show_evaluations(results: dict[str, dict[str, Any]], *, sub_scores: bool = True) -> None:
    """A line for each evaluation and for each of its sub-scores.

    Args:
        results: folder under evals/ -> its results.
        sub_scores: whether to show those.
    """
    rows = []
    for name, result in results.items():
        rows.append([name, *_cells(result)])
        if (worst := result.get("worst_case")) is not None:
            number = str(worst["num_questions"])
            cells = [percent(worst["value"]), percent(worst["standard_error"]), number]
            rows.append(["  worst case", *cells, *["-"] * 4])
        if (judged := result.get("judged")) is not None:
            rows.append(["  judged", *_cells(judged)])
        for label, groups in result.get("sub_scores", {}).items() if sub_scores else ():
            rows += [[f"  {label}: {group}", *_cells(found)] for group, found in groups.items()]
    print_table("Evaluations", ["", *COLUMNS], rows)
    for name, result in results.items():
        for note in _notes(result):
            out.print(f"{name}: {note}", markup=False)


def _cells(result: dict[str, Any]) -> list[str]:
    statuses, tokens = result["statuses"], result["mean_tokens_per_answer"]
    unjudged = result.get("num_unjudged", result["num_unjudged_questions"])
    return [
        percent(result["pass_at_1"]),
        percent(result["standard_error"]),
        f"{result['num_questions']:,}",
        f"{statuses.get('truncated', 0):,}",
        f"{statuses.get('no_answer', 0):,}",
        f"{unjudged:,}",
        "-" if tokens is None else f"{tokens:,.0f}",
    ]


def _notes(result: dict[str, Any]) -> list[str]:
    """What else there is to say of an evaluation, a sentence each."""
    notes = [f"pass@{k} {percent(value)} %" for k, value in result.get("pass_at_k", {}).items()]
    if "majority_vote" in result:
        notes.append(f"majority vote {percent(result['majority_vote'])} %")
    said = [", ".join(notes)] if notes else []
    if "by_verifier" in result:
        said.append(
            f"{percent(result['by_verifier'])} % by the project's verifier, which disagrees with "
            f"the benchmark's own rule on {result['num_disagreements']:,} answers"
        )
    if (judged := result.get("judged")) is not None:
        model = ", ".join(judged["llm"]) or "a model"
        said.append(
            f"judged {percent(judged['pass_at_1'])} % with {model}, which was asked about "
            f"{judged['num_asked']:,} answers and changed the rewards of {judged['num_changed']:,}"
        )
    return said


def show_beside_paper(results: dict[str, dict[str, Any]]) -> None:
    """The paper's rows and ours, a column for each benchmark and one for the mean."""
    rows = [
        [row["model"], *(f"{row[name]:.2f}" for name in PAPER), f"{_mean(row):.2f}"]
        for row in paper_rows()
    ]
    ours: dict[str, dict[str, dict[str, Any]]] = {}
    for folder, result in results.items():
        name, _, model = folder.partition("@")
        ours.setdefault(model or "this run", {})[name] = result
    for model, found in list(ours.items()):
        if any("judged" in result for result in found.values()):
            # Where a model judged, what it found; the paper has one judge three of the eight.
            ours[f"{model}, judged"] = {n: each.get("judged", each) for n, each in found.items()}
    for model, found in ours.items():
        cells = [_with_error(found[n]) if n in found else "-" for n in PAPER]
        rows.append(
            [model, *cells, _with_error(_macro(found)) if set(PAPER) <= set(found) else "-"]
        )
    print_table("pass@1 % beside the paper's Table 1", ["", *PAPER, "mean"], rows)


def paper_rows() -> list[dict[str, Any]]:
    """Table 1 of the paper: a row per model, in percent."""
    file = Path(stages.benchmarks.__file__).with_name("paper.toml")
    rows: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["rows"]
    return rows


def _mean(row: dict[str, Any]) -> float:
    return float(sum(row[name] for name in PAPER) / len(PAPER))


def _macro(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The mean over the benchmarks, whatever their sizes; their errors are independent."""
    values = [found[name]["pass_at_1"] for name in PAPER]
    errors = [found[name]["standard_error"] for name in PAPER]
    if None in values or None in errors:
        return {"pass_at_1": None, "standard_error": None}
    error = math.sqrt(sum(each**2 for each in errors)) / len(PAPER)
    return {"pass_at_1": sum(values) / len(PAPER), "standard_error": error}


def _with_error(result: dict[str, Any]) -> str:
    return f"{percent(result['pass_at_1'])} ± {percent(result['standard_error'])}"


def read_results(evals: Path) -> dict[str, dict[str, Any]]:
    """Folder -> results, of the evaluations that are complete.

    Raises:
        InputError: there is none.
    """
    files = sorted(evals.glob("*/results.json"))
    if not files:
        raise InputError(f"{evals} holds no results.", "Run `sophia eval` first.")
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def compare_evaluations(first: Path, second: Path) -> Comparison:
    """Pair two evaluations, each a folder, or the results.json or the `judged/` in it.

    Raises:
        InputError: one is no evaluation, or they share no judged question.
    """
    found = compare(_answers(first), _answers(second))
    if found is None:
        raise InputError(
            f"{first} and {second} share no question that was judged in both.",
            "Compare two evaluations on the same benchmark.",
        )
    return found


def differing_terms(first: Path, second: Path) -> dict[str, list[Any]]:
    """How else two evaluations differ than in the model: name -> what each of them says."""
    ours, theirs = (_provenance(path) for path in (first, second))
    names = ours.keys() & theirs.keys() - {"seed"}
    return {
        name: [ours[name], theirs[name]] for name in sorted(names) if ours[name] != theirs[name]
    }


def _provenance(path: Path) -> dict[str, Any]:
    """Of an evaluation, or of what a model judged of it, which lies in its folder."""
    for folder in (_folder(path), _folder(path).parent):
        if (file := folder / "results.json").is_file():
            found: dict[str, Any] = json.loads(file.read_text()).get("provenance", {})
            return found
    return {}


def _folder(path: Path) -> Path:
    return path.parent if path.name == "results.json" else path


def _answers(path: Path) -> Any:
    folder = _folder(path)
    if not tables.is_complete(folder):
        state = "is not complete" if tables.shards(folder) else "holds no evaluation"
        raise InputError(f"{folder} {state}.", "Give a folder such as RUN/evals/mmmu.")
    rows = _rows(folder, COMPARED)
    if folder.name == JUDGED:  # what a model says of answers knows nothing of clusters
        cluster = {row["sample_id"]: row["cluster"] for row in _rows(folder.parent, COMPARED)}
        rows = ({**row, "cluster": cluster.get(row["sample_id"])} for row in rows)
    return by_question(rows)


def _rows(folder: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for shard in tables.shards(folder):
        yield from tables.read_rows(shard, Attempted, columns)


def show_comparison(found: Comparison, terms: dict[str, list[Any]], as_json: bool) -> None:
    """What became of the questions from the first evaluation to the second.

    Args:
        found: the comparison.
        terms: in what else they differ.
        as_json: whether to print it as JSON.
    """
    if as_json:
        print_json(asdict(found) | {"differing_terms": terms})
        return
    low, high = found.interval or (None, None)
    out.print(
        f"{percent(found.first)} % -> {percent(found.second)} %: "
        f"difference {100 * found.difference:+.1f} points "
        f"[{percent(low)}, {percent(high)}], p = {found.p_value:.2g} ({found.test})",
        markup=False,
    )
    out.print(f"{found.num_questions:,} questions judged in both, {found.num_left_out:,} in one")
    for word, names in (("right now", found.gained), ("wrong now", found.lost)):
        more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
        listed = f": {', '.join(names[:NUM_NAMED])}{more}" if names else ""
        out.print(f"{len(names):,} {word}{listed}", markup=False)
    for name, (ours, theirs) in terms.items():
        out.print(f"They differ in {name.replace('_', ' ')}, too: {ours}, {theirs}", markup=False)
