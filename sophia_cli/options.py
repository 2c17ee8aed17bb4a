"""The options that commands share, each with its help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sophia_cli.execute import Attempt, parse_duration


class RedoRows(StrEnum):
    """Rows that can be made again."""

    errors = "errors"
    length = "length"


class TrainAction(StrEnum):
    """What `sophia train` can do besides training."""

    reshard = "reshard"


Run = Annotated[
    Path, typer.Option("--run", envvar="SOPHIA_RUN", help="Folder of the run.", show_default=False)
]
OptionalRun = Annotated[
    Path | None,
    typer.Option("--run", envvar="SOPHIA_RUN", help="Folder of the run.", show_default=False),
]
ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option("--config", help="TOML file; may be given several times, later ones win."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="section.key=value; wins over files. `sophia config` lists keys."),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        "--time-budget",
        help="Stop by then, as on a signal, and begin no row and no training step that is not "
        "likely to be finished: 3h50m, 45m.",
    ),
]
Worker = Annotated[
    str | None,
    typer.Option("--worker", help="Name of this worker; default: its host and process."),
]
Redo = Annotated[
    RedoRows | None,
    typer.Option(
        "--redo",
        help="Make rows again that are there: errors (failed ones) or length (those cut off by "
        "max_tokens, which may be raised with it).",
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", help="Begin while the stage before still runs, and wait for its shards."
    ),
]
NumWorkers = Annotated[
    int,
    typer.Option(
        "--num-workers",
        help="Engines on this machine, each on an equal share of its GPUs.",
        min=1,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Plan on the CPU and stop: steps, rows, tokens, rejected rows by reason, packs, and "
        "what training will take.",
    ),
]
Action = Annotated[
    TrainAction | None,
    typer.Argument(
        help="`reshard`: only convert the newest checkpoint for train.num_ranks ranks.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def required(context: typer.Context, name: str, value: Path | None) -> Path:
    """An option that a command can't do without, though its subcommands can."""
    if value is None:
        context.fail(f"Missing option '--{name}'.")
    return value


def attempt_of(
    *,
    time_budget: str | None = None,
    worker: str | None = None,
    redo: RedoRows | None = None,
    follow: bool = False,
    dry_run: bool = False,
    reshard: bool = False,
) -> Attempt:
    """What these options ask for."""
    return Attempt(
        worker=worker,
        seconds=parse_duration(time_budget) if time_budget else None,
        redo=redo.value if redo else None,
        follow=follow,
        dry_run=dry_run,
        reshard=reshard,
    )
