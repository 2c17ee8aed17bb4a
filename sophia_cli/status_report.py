"""How far a run is, for people: tables and sentences on standard output, or JSON."""

from typing import Any

from sophia_cli.console import format_seconds, out, print_json, print_table
from sophia_cli.reports import show_funnel
from sophia_cli.results import percent
from sophia_cli.run_dir import WRITES


def show_status(status: dict[str, Any], as_json: bool) -> None:
    """How far a run is."""
    if as_json:
        print_json(status)
        return
    rows = [
        [
            name,
            f"{table['finished_shards']}/{table['num_shards'] or '?'}",
            f"{table['rows'] + table['rows_under_way']:,}",
            f"{table['errors']:,}",
            f"{table['tokens']:,}",
            format_seconds(table["seconds"]),
        ]
        for name, table in status["tables"].items()
    ]
    print_table(status["run"], ["table", "shards", "rows", "errors", "tokens", "time"], rows)
    for name, table in status["tables"].items():
        if table["error_kinds"]:
            kinds = ", ".join(f"{kind} {n:,}" for kind, n in table["error_kinds"].items())
            out.print(f"{name}: failed rows by kind: {kinds}", markup=False)
        if table["tokens_kept"]:
            out.print(f"{name}: {table['tokens_kept']:,} tokens of unfinished answers are kept")
    show_workers(status)
    if status["funnel"]:
        out.print("funnel")
        show_funnel(status["funnel"])
    checkpoints = status["checkpoints"]
    saved = [*checkpoints["steps"], *(["final"] if checkpoints["final"] else [])]
    out.print(f"checkpoints: {', '.join(saved) or 'none'}")
    for name, table in status["evaluating"].items():
        rows = table["rows"] + table["rows_under_way"]
        out.print(f"evals/{name}: {rows:,} answers, not complete", markup=False)
    for name, results in status["evals"].items():
        judged = f"; judged: {_score(results['judged'])}" if "judged" in results else ""
        out.print(f"evals/{name}: {_score(results)}{judged}", markup=False)
    for name, table in status["judging"].items():
        rows = table["rows"] + table["rows_under_way"]
        failed = f", {table['errors']:,} failed" if table["errors"] else ""
        out.print(
            f"evals/{name}: {rows:,} of {table['total']:,} answers judged{failed}", markup=False
        )


def show_workers(status: dict[str, Any]) -> None:
    """Who works on what, how fast, and for how long still; and who died."""
    if not status["workers"]:
        return
    rows = [
        [
            pulse["worker"],
            pulse["stage"],
            _state(pulse),
            f"{pulse['rows']:,}",
            f"{pulse['errors']:,}",
            f"{pulse['tokens_per_second']:,.0f}",
            f"{pulse['kept_tokens']:,}",
            f"{pulse['lost_tokens']:,}",
            ", ".join(f"{name} {figure:g}" for name, figure in pulse["figures"].items()),
        ]
        for pulse in status["workers"]
    ]
    columns = ["worker", "stage", "state", "rows", "errors", "tok/s", "kept", "lost", "engine"]
    print_table("workers", columns, rows)
    for stage, rate in status["stages"].items():
        unit = "steps" if stage == "train" and rate["table"] is None else "rows"
        left = "?" if rate["eta_seconds"] is None else format_seconds(rate["eta_seconds"])
        at = "" if rate["table"] in (None, WRITES.get(stage)) else f", {rate['table']}"
        out.print(
            f"{stage}{at}: {rate['rows']:,} of {rate['total']:,} {unit}, "
            f"{rate['rows_per_second']:,.1f} {unit}/s, {rate['tokens_per_second']:,.0f} tok/s, "
            f"eta {left}",
            markup=False,
        )


def _state(pulse: dict[str, Any]) -> str:
    if pulse["state"] == "failed":
        return "failed"
    return "alive" if pulse["is_alive"] else "dead"


def _score(results: dict[str, Any]) -> str:
    """`pass@1 41.2 ± 2.5 (400 questions)`."""
    value, error = percent(results["pass_at_1"]), percent(results["standard_error"])
    return f"pass@1 {value} ± {error} ({results['num_questions']} questions)"
