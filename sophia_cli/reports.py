"""Results for people, as tables and sentences on standard output, or as JSON."""

import sys
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from sophia_cli.config import Resolved
from sophia_cli.console import out, print_json, print_table
from sophia_cli.results import show_evaluations
from stages.job import Outcome

if TYPE_CHECKING:
    from data.ingest import IngestSummary
    from sophia_cli.slurm import Script
    from stages.audit import Audit
    from stages.gold_answers import GoldReport
    from stages.judge_data import JudgeData
    from stages.what_if import Forecast

NUM_KINDS = 20
"""Kinds of samples whose funnel is shown, those with the most samples first."""
BAR_WIDTH = 40
MOST_SHOWN = 120
"""Characters of a text in a table."""


def show_ingest(summary: "IngestSummary", golds: "GoldReport", as_json: bool) -> None:
    """What was read, and which gold answers are of no use to the verifier, by reason."""
    from stages.gold_answers import lines_of

    if as_json:
        print_json(
            {
                **asdict(summary),
                "num_unverifiable": {
                    reason: found.num_samples for reason, found in golds.unverifiable.items()
                },
                "golds": asdict(golds),
            }
        )
        return
    out.print(
        f"ingest: {summary.num_samples} samples with {summary.num_images} images "
        f"in {summary.num_shards} shards"
    )
    for kind, number in sorted(summary.num_errors.items()):
        out.print(f"  {number} can't be used: {kind}")
    if summary.num_duplicates:
        out.print(f"  {summary.num_duplicates} duplicates left out")
    for what, number in sorted(summary.num_excluded.items()):
        out.print(f"  {number} left out, which overlap {what}; see excluded.jsonl")
    if summary.num_without_answer:
        out.print(f"  {summary.num_without_answer} without an answer")
    for line in lines_of(golds):
        out.print(f"  {line}", markup=False)


def show_outcome(stage: str, outcome: Outcome) -> None:
    """What a stage came to."""
    state = "complete" if outcome.complete else "stopped early"
    if outcome.figures.get("dry_run"):
        state = "planned, nothing trained"
    if outcome.complete and "ranks_before" in outcome.figures:
        state = "resharded, nothing trained"
    errors = f", {outcome.errors} failed" if outcome.errors else ""
    out.print(f"{stage}: {state}, {outcome.rows} rows{errors}")
    scores = {}
    for name, figure in outcome.figures.items():
        if name in ("funnel", "groups"):
            show_funnel(figure)
        elif name.startswith("funnel_by_"):
            show_funnels(name.removeprefix("funnel_by_").replace("_", " "), figure)
        elif name == "ratio":
            show_ratio(figure)
        elif name == "caption_rewards":
            show_caption_rewards(figure)
        elif isinstance(figure, dict) and "pass_at_1" in figure:
            scores[name] = figure
        else:
            out.print(f"  {name.replace('_', ' ')}: {figure}", markup=False)
    if scores:
        show_evaluations(scores)


def show_funnel(funnel: dict[str, int]) -> None:
    """Samples to trajectories, a line each."""
    for name, number in funnel.items():
        out.print(f"  {name.replace('_', ' '):28}{number:>10,}")


def show_funnels(kind: str, funnels: dict[str, dict[str, int]]) -> None:
    """The funnel of each kind of sample, side by side; nothing where there is one kind only."""
    if len(funnels) < 2:
        return
    shown = list(funnels.items())[:NUM_KINDS]
    columns = [kind, *(name.replace("_", " ") for name in shown[0][1])]
    rows = [[escape(value), *(f"{n:,}" for n in funnel.values())] for value, funnel in shown]
    print_table(f"funnel by {kind}", columns, rows)
    if left_out := len(funnels) - len(shown):
        out.print(f"and {left_out} more, in --json")


def show_caption_rewards(captions: dict[str, int]) -> None:
    """How many captions have how many of their rollouts right."""
    total = max(1, sum(captions.values()))
    out.print("captions by their share of right rollouts, R(c)")
    for share, number in captions.items():
        out.print(f"  {share:>8} {number:>10,}  {'#' * round(BAR_WIDTH * number / total)}".rstrip())


def show_ratio(ratio: dict[str, Any]) -> None:
    """pi_theta / mu over some trajectories, before training and after, and what it means."""
    measured = {when: ratio[when] for when in ("before", "after") if when in ratio}
    columns = ["pi / mu", *measured]
    rows = [
        [f"log ratio per {unit}, {name}", *(f"{of[key][name]:+.4g}" for of in measured.values())]
        for unit in ("token", "sequence")
        for key in (f"log_ratio_per_{unit}",)
        for name in ("p05", "median", "p95")
    ]
    for name in ("effective_sample_size", "delta", "delta_per_token"):
        words = name.replace("_", " ")
        rows.append([words, *(f"{of[name]:.4g}" for of in measured.values())])
    number = ratio["before"]["num_rows"]
    print_table(f"pi_theta / mu over {number:,} trajectories", columns, rows)
    for key in ("meaning", "warning"):
        if key in ratio:
            out.print(f"  {ratio[key]}", markup=False)


def show_judge_data(found: "JudgeData", as_json: bool) -> None:
    """How many judgements there are with which score, and how many were taken."""
    if as_json:
        print_json(asdict(found))
        return
    rows = [
        [f"{bin_ / 10:.1f}", f"{there:,}", f"{taken:,}"]
        for bin_, (there, taken) in enumerate(zip(found.there, found.taken, strict=True))
    ]
    print_table("judgements by score", ["from", "there", "taken"], rows)


def show_forecast(forecast: "Forecast", as_json: bool) -> None:
    """What each alpha and keep would yield."""
    if as_json:
        print_json(asdict(forecast))
        return
    title = f"{forecast.samples:,} samples, propagate.select = {forecast.select}"
    columns = ["alpha", "keep", "samples kept", "trajectories", "mean tokens"]
    rows = []
    for one in forecast.yields:
        figures = [one.samples_kept, one.trajectories, one.mean_tokens]
        is_known = one.samples_kept is not None
        shown = ["?" if not is_known else "-" if n is None else f"{n:,}" for n in figures]
        rows.append([f"{one.alpha:g}", f"{one.keep}", *shown])
    print_table(title, columns, rows)
    for served in forecast.pruned_for:
        settings = ", ".join(f"propagate.{name} = {value}" for name, value in served.items())
        out.print(
            f"? can't be known: rollouts were pruned for {settings}. Another alpha or select, or a "
            "larger keep, might choose some that were given up.",
            markup=False,
        )


def show_audit(audit: "Audit", as_json: bool) -> None:
    """Answers about which rules and model disagree."""
    if as_json:
        print_json(asdict(audit))
        return
    out.print(
        f"{audit.num_asked:,} answers that a model was asked about; it changed the rewards of "
        f"{audit.num_disagreements:,}, and failed at {audit.num_failed:,}."
    )
    columns = ["answer", "gold", "rules", "model", "question", "what the model wrote", "row"]
    rows = [
        [
            _short(one.extracted_answer),
            _short(one.gold),
            one.rule_status,
            one.status,
            _short(one.question),
            _short(one.llm_text),
            f"{one.sample_id[:12]} {one.caption_index} {one.rollout_index}",
        ]
        for one in audit.sample
    ]
    if rows:
        print_table("rules against model; in full with --json", columns, rows)


def _short(text: str | None) -> str:
    plain = " ".join((text or "-").split())
    return escape(plain if len(plain) <= MOST_SHOWN else f"{plain[:MOST_SHOWN]}...")


def show_slurm(scripts: "list[Script]", paths: list[Path], jobs: list[str], as_json: bool) -> None:
    """The jobs submitted, the scripts written, or else the scripts themselves."""
    found = list(zip_longest(scripts, paths, jobs))
    if as_json:
        keys = ("stage", "job_id", "script", "text")
        rows = [(s.stage, job, path and str(path), s.text) for s, path, job in found]
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    for script, path, job in found:
        if path:
            out.print(f"{script.stage}: {f'job {job}, ' if job else ''}{path}", markup=False)
            continue
        if len(scripts) > 1:
            out.print(f"#---------- {script.file}", markup=False)
        sys.stdout.write(script.text)


def show_config(resolved: Resolved, as_json: bool) -> None:
    """Every setting with its origin."""
    settings = list(resolved.explain())
    if as_json:
        print_json({key: {"value": value, "origin": origin} for key, value, origin in settings})
        return
    for key, value, origin in settings:
        out.print(f"{key} = {value!r}  # {origin}", markup=False)
