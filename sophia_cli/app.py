"""The `sophia` command."""

import sys

import typer

from data.errors import SophiaError
from sophia_cli.commands import evaluation, looks, runs, stages
from sophia_cli.console import print_error

HELP = "\n\n".join(
    (
        "Teach a vision-language model to think slowly (SOPHIA, arXiv 2507.16814).",
        "Fill a run with [bold]ingest[/], then [bold]caption[/], [bold]reason[/], [bold]reward[/], "
        "[bold]train[/] and [bold]eval[/] it, or [bold]run[/] them all. Every command resumes: the "
        "same command again does what is left. [bold]sophia demo[/] shows the whole story in "
        "minutes.",
        "Exit codes: 0 complete; 2 wrong usage; 3 refused, other settings made what is there; "
        "4 too many failed rows; 5 input missing or invalid; 6 engine failed; 75 stopped early, "
        "run it again.",
    )
)

app = typer.Typer(
    name="sophia",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=HELP,
)
app.add_typer(stages.commands)
app.add_typer(evaluation.commands, name="eval", rich_help_panel="Stages")
app.add_typer(runs.commands)
app.add_typer(looks.commands)


def main() -> None:
    """The `sophia` command: errors a user can act on become a sentence and an exit code."""
    try:
        app()
    except SophiaError as error:
        print_error(error)
        sys.exit(error.exit_code)
