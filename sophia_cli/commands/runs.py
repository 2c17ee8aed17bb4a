"""Whole runs: all stages in order, as jobs of a cluster, on the built-in world."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sophia_cli import reports
from sophia_cli.commands.shared import resolve, run_in_order
from sophia_cli.execute import full_disk_explained, stopping
from sophia_cli.options import (
    ConfigFiles,
    Json,
    Run,
    Set,
    TimeBudget,
    Worker,
    attempt_of,
)
from sophia_cli.run_dir import RunDir, stage_order
from sophia_cli.slurm_settings import SlurmStage
from sophia_cli.stage_settings import settings_help
from stages.prompts import load_prompt

SLURM_HELP = "\n\n".join(
    (
        "Print stages as sbatch scripts, to read, edit and submit; or submit them at once.",
        "One script per stage: a job array whose tasks share the stage, or one job to train. Each "
        "stage depends on the one before. A task that is preempted or reaches its time limit "
        "commits what is done and is queued again, until its stage is complete.",
        "[bold]sophia slurm caption reason reward --run RUN --set slurm.num_workers=8 --submit[/]",
    )
)


commands = typer.Typer()


@commands.command("run", rich_help_panel="Whole runs")
def run_all(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    time_budget: TimeBudget = None,
    worker: Worker = None,
) -> None:
    """Run all stages in order on this machine; what is done already is skipped."""
    resolved = resolve(config, set_)
    run_in_order(
        stage_order(resolved.config),
        RunDir(run),
        resolved,
        as_json,
        attempt_of(time_budget=time_budget, worker=worker),
    )


@commands.command(rich_help_panel="Whole runs", help=SLURM_HELP, epilog=settings_help("slurm"))
def slurm(
    stages: Annotated[
        list[SlurmStage], typer.Argument(metavar="STAGE", help="Stages that can be jobs.")
    ],
    run: Run,
    submit: Annotated[bool, typer.Option("--submit", help="Hand the scripts to sbatch.")] = False,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Write the scripts here; with --submit, default RUN/logs/slurm."),
    ] = None,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Print stages as sbatch scripts, or submit them."""
    from sophia_cli import slurm as jobs

    resolved = resolve(config, set_)
    for stage in stages:
        RunDir(run).require_for(resolved.config, stage)
    call = jobs.Invocation(run, tuple(config or ()), tuple(set_ or ()), os.environ)
    scripts = jobs.make_scripts(stages, resolved.config, call)
    # Slurm doesn't make the folder that its output goes to, and fails a job without a word.
    (logs := jobs.logs_folder(run)).mkdir(parents=True, exist_ok=True)
    if output_dir is None and submit:
        output_dir = logs
    paths = jobs.write_scripts(scripts, output_dir) if output_dir else []
    reports.show_slurm(scripts, paths, jobs.submit(scripts, paths) if submit else [], as_json)


@commands.command(rich_help_panel="Whole runs")
def demo(
    run: Annotated[
        Path | None, typer.Option("--run", help="Folder of the run; default: a new one.")
    ] = None,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The whole story on the built-in world: a tiny policy learns to think, in minutes."""
    from sophia_cli.demo import DEMO_CONFIG, run_demo, show_demo

    resolved = resolve([DEMO_CONFIG, *(config or [])], set_)
    show_demo(run_demo(run, resolved.config), as_json)


@commands.command("judge-data", rich_help_panel="Whole runs", epilog=settings_help("judge"))
def judge_data(
    run: Run,
    to: Annotated[Path, typer.Option(help="Folder of the run to train the new judge in.")],
    per_bin: Annotated[
        int, typer.Option(help="Judgements taken of each of ten bins of scores, at most.", min=1)
    ],
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Make data to train a judge on: a larger one's judgements, evenly over their scores."""
    from stages.judge_data import make_judge_data

    RunDir(run).require()
    resolved = resolve(config, set_).config
    with stopping() as (report, should_stop), full_disk_explained(to):
        found = make_judge_data(
            run,
            to,
            prompt=load_prompt(resolved.judge.prompt),
            with_images=resolved.judge.with_images,
            per_bin=per_bin,
            seed=resolved.run.seed,
            report=report,
            should_stop=should_stop,
        )
    reports.show_judge_data(found, as_json)
