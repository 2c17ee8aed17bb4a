"""Commands that only look."""

import time
from pathlib import Path
from typing import Annotated

import typer

from sophia_cli import reports
from sophia_cli import results as evaluations
from sophia_cli.commands.shared import resolve
from sophia_cli.console import clear_screen, print_json
from sophia_cli.options import (
    ConfigFiles,
    Json,
    Run,
    Set,
)
from sophia_cli.run_dir import RunDir
from sophia_cli.status import read_status
from sophia_cli.status_report import show_status

commands = typer.Typer()


@commands.command(rich_help_panel="Look")
def status(
    run: Run,
    as_json: Json = False,
    watch: Annotated[
        float | None, typer.Option(help="Show it again every so many seconds.", min=0.5)
    ] = None,
) -> None:
    """How far a run is and who works on it, from files alone; works while stages run."""
    while True:
        if watch and not as_json:
            clear_screen()
        show_status(read_status(RunDir(run)), as_json)
        if not watch:
            return
        time.sleep(watch)


@commands.command(rich_help_panel="Look")
def results(
    run: Run,
    paper: Annotated[bool, typer.Option("--paper", help="Beside the paper's Table 1.")] = False,
    as_json: Json = False,
) -> None:
    """What the run's evaluations found, in all and by subject, type and level."""
    found = evaluations.read_results(run / "evals")
    if as_json:
        print_json(found | ({"paper": evaluations.paper_rows()} if paper else {}))
        return
    evaluations.show_evaluations(found)
    if paper:
        evaluations.show_beside_paper(found)


@commands.command("config", rich_help_panel="Look")
def show_config(config: ConfigFiles = None, set_: Set = None, as_json: Json = False) -> None:
    """Every setting: its value, and where it came from."""
    reports.show_config(resolve(config, set_), as_json)


@commands.command(rich_help_panel="Look")
def check(
    file: Annotated[Path, typer.Argument(help="JSONL of id, gold, response and maybe question.")],
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Judge this line only, and say how.")
    ] = None,
) -> None:
    """Judge answers from a file with the verifier; a line of JSON for each."""
    from sophia_cli.check import check_file

    check_file(file, explain)
