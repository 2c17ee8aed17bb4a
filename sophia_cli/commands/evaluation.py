"""`sophia eval`, and what goes with it: copies of benchmarks, comparisons, exports."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sophia_cli import results as evaluations
from sophia_cli.commands.shared import run_stage
from sophia_cli.options import (
    ConfigFiles,
    Json,
    NumWorkers,
    OptionalRun,
    Redo,
    Set,
    TimeBudget,
    Worker,
    attempt_of,
    required,
)
from sophia_cli.stage_settings import settings_help

commands = typer.Typer(
    invoke_without_command=True, epilog=settings_help("eval"), rich_markup_mode="rich"
)


@commands.callback()
def evaluate(
    context: typer.Context,
    run: OptionalRun = None,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    redo: Redo = None,
    time_budget: TimeBudget = None,
    worker: Worker = None,
    num_workers: NumWorkers = 1,
) -> None:
    """Measure pass@1 of the trained policy, or of the base, with standard errors."""
    if context.invoked_subcommand:
        return
    run_stage(
        "eval",
        required(context, "run", run),
        config,
        set_,
        as_json,
        attempt_of(redo=redo, time_budget=time_budget, worker=worker),
        num_workers,
    )


@commands.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Such as mmmu; `paper`: the paper's eight.")],
    root: Annotated[Path, typer.Option(help="Folder of the copies: what eval.root will be.")],
) -> None:
    """Copy benchmarks from the hub to a folder, for machines without internet."""
    from stages.benchmarks.published import fetch as copies

    for folder in copies(names, root):
        sys.stdout.write(f"{folder}\n")


@commands.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of an evaluation: RUN/evals/mmmu@base.")],
    second: Annotated[Path, typer.Argument(help="Another one on the same questions.")],
    as_json: Json = False,
) -> None:
    """Pair two evaluations question by question: difference, interval, p-value, what flipped."""
    found = evaluations.compare_evaluations(first, second)
    evaluations.show_comparison(found, evaluations.differing_terms(first, second), as_json)


@commands.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of an evaluation: RUN/evals/mmmu.")],
    file: Annotated[Path, typer.Argument(help="Table to write: MODEL_MMMU_DEV_VAL.tsv, or .xlsx.")],
    table: Annotated[
        Path | None,
        typer.Option(help="VLMEvalKit's own table of the benchmark, for its index and columns."),
    ] = None,
    sample: Annotated[int, typer.Option(help="Which answer to each question.", min=0)] = 0,
) -> None:
    """Write an evaluation's answers as VLMEvalKit keeps them, for others to score anew."""
    from sophia_cli.predictions import export_predictions

    number = export_predictions(folder, file, sample, table)
    sys.stdout.write(f"{number} answers in {file}\n")
