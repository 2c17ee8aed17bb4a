"""The commands. Each is a stage, or a few of them in order; the work is done in `stages/`."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from data.errors import ConfigError, SophiaError
from sophia_cli import reports
from sophia_cli import results as evaluations
from sophia_cli.config import Resolved, resolve_config, settings_help
from sophia_cli.console import clear_screen, print_error, print_json
from sophia_cli.execute import (
    Attempt,
    exit_code,
    finish,
    full_disk_explained,
    session,
    stopping,
)
from sophia_cli.options import (
    Action,
    ConfigFiles,
    DryRun,
    Follow,
    Json,
    NumWorkers,
    OptionalRun,
    Redo,
    Run,
    Set,
    TimeBudget,
    Worker,
    attempt_of,
    required,
)
from sophia_cli.run_dir import RunDir, stage_order
from sophia_cli.slurm_settings import SlurmStage
from sophia_cli.workers import run_workers
from stages.job import Outcome

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

SLURM_HELP = "\n\n".join(
    (
        "Print stages as sbatch scripts, to read, edit and submit; or submit them at once.",
        "One script per stage: a job array whose tasks share the stage, or one job to train. Each "
        "stage depends on the one before. A task that is preempted or reaches its time limit "
        "commits what is done and is queued again, until its stage is complete.",
        "[bold]sophia slurm caption reason reward --run RUN --set slurm.num_workers=8 --submit[/]",
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


@app.command(rich_help_panel="Stages")
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="Hugging Face data set (id or local folder), Parquet, JSONL or JSON; "
            "`world:train` is the built-in world."
        ),
    ],
    run: Run,
    columns: Annotated[
        str, typer.Option("--map", help="question=COLUMN,answer=COLUMN,image=COLUMN,...")
    ] = "",
    limit: Annotated[int | None, typer.Option(help="Rows taken, from the first.", min=1)] = None,
    num_shards: Annotated[
        int | None, typer.Option(help="Shards of every table; default: one per 256 rows.", min=1)
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a Hugging Face data set.")] = "train",
    image_folder: Annotated[
        Path | None, typer.Option(help="Where relative image paths begin.")
    ] = None,
    exclude_benchmarks: Annotated[
        bool,
        typer.Option(
            "--exclude-benchmarks",
            help="Leave out what overlaps a benchmark of eval.benchmarks, by words or image, and "
            "list it in the run's excluded.jsonl.",
        ),
    ] = False,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Read questions, answers and images into the run's `samples/`."""
    from data.ingest import ingest as read_samples
    from stages.gold_answers import count_unverifiable

    resolved = _resolve(config, set_)
    with stopping() as (report, should_stop), full_disk_explained(run):
        excluded = None
        if exclude_benchmarks:
            from stages.benchmarks.exclusion import exclusions

            wanted = resolved.config.eval
            excluded = exclusions(wanted.benchmarks, wanted.root, report, should_stop)
        summary = read_samples(
            source,
            run / "samples",
            mapping=_parse_mapping(columns),
            limit=limit,
            num_shards=num_shards,
            split=split,
            image_folder=image_folder,
            report=report,
            should_stop=should_stop,
            exclusions=excluded,
        )
    reports.show_ingest(summary, count_unverifiable(run / "samples"), as_json)
    failed = sum(summary.num_errors.values())
    finish(Outcome(rows=summary.num_samples, errors=failed), resolved.config)


@app.command(rich_help_panel="Stages", epilog=settings_help("caption"))
def caption(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    redo: Redo = None,
    time_budget: TimeBudget = None,
    worker: Worker = None,
    num_workers: NumWorkers = 1,
) -> None:
    """The policy describes each image K times, without seeing the question."""
    _stage(
        "caption",
        run,
        config,
        set_,
        as_json,
        attempt_of(redo=redo, time_budget=time_budget, worker=worker),
        num_workers,
    )


@app.command(rich_help_panel="Stages", epilog=settings_help("reason"))
def reason(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    redo: Redo = None,
    follow: Follow = False,
    time_budget: TimeBudget = None,
    worker: Worker = None,
    num_workers: NumWorkers = 1,
) -> None:
    """The reasoner answers from each caption N times (or the policy, from the image)."""
    _stage(
        "reason",
        run,
        config,
        set_,
        as_json,
        attempt_of(redo=redo, follow=follow, time_budget=time_budget, worker=worker),
        num_workers,
    )


@app.command(rich_help_panel="Stages", epilog=settings_help("verify"))
def verify(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    redo: Redo = None,
    follow: Follow = False,
    time_budget: TimeBudget = None,
    worker: Worker = None,
    num_workers: NumWorkers = 1,
    audit: Annotated[
        int | None,
        typer.Option(
            help="Only show so many answers about which rules and language model disagree.", min=1
        ),
    ] = None,
) -> None:
    """Compare each rollout's final answer with the gold answer."""
    if audit is None:
        _stage(
            "verify",
            run,
            config,
            set_,
            as_json,
            attempt_of(redo=redo, follow=follow, time_budget=time_budget, worker=worker),
            num_workers,
        )
        return
    from stages.audit import audit as look

    RunDir(run).require()
    found = look(run, audit, _resolve(config, set_).config.run.seed)
    reports.show_audit(found, as_json)


@app.command(rich_help_panel="Stages", epilog=settings_help("judge"))
def judge(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    redo: Redo = None,
    follow: Follow = False,
    time_budget: TimeBudget = None,
    worker: Worker = None,
    num_workers: NumWorkers = 1,
) -> None:
    """A judge model scores the thinking of on-policy rollouts (SophiaVL-R1)."""
    _stage(
        "judge",
        run,
        config,
        set_,
        as_json,
        attempt_of(redo=redo, follow=follow, time_budget=time_budget, worker=worker),
        num_workers,
    )


@app.command("judge-data", rich_help_panel="Whole runs", epilog=settings_help("judge"))
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
    resolved = _resolve(config, set_).config
    with stopping() as (report, should_stop), full_disk_explained(to):
        found = make_judge_data(
            run,
            to,
            config=resolved.judge,
            per_bin=per_bin,
            seed=resolved.run.seed,
            report=report,
            should_stop=should_stop,
        )
    reports.show_judge_data(found, as_json)


@app.command(rich_help_panel="Stages", epilog=settings_help("propagate-reward"))
def propagate_reward(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    what_if: Annotated[
        bool,
        typer.Option(
            "--what-if",
            help="Only say what other values of propagate.alpha and propagate.keep would yield.",
        ),
    ] = False,
) -> None:
    """Score captions by their rollouts and choose the trajectories to train on."""
    if not what_if:
        _stage("propagate-reward", run, config, set_, as_json)
        return
    from stages.what_if import forecast

    RunDir(run).require()
    resolved = _resolve(config, set_).config
    with stopping() as (report, should_stop):
        found = forecast(run, resolved.propagate, resolved.run.seed, report, should_stop)
    reports.show_forecast(found, as_json)


@app.command(rich_help_panel="Stages")
def reward(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    follow: Follow = False,
    time_budget: TimeBudget = None,
    worker: Worker = None,
) -> None:
    """Verify, then propagate-reward."""
    resolved = _resolve(config, set_)
    _in_order(
        ["verify", "propagate-reward"],
        RunDir(run),
        resolved,
        as_json,
        attempt_of(follow=follow, time_budget=time_budget, worker=worker),
    )


@app.command(rich_help_panel="Stages", epilog=settings_help("train"))
def train(
    run: Run,
    action: Action = None,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    time_budget: TimeBudget = None,
    worker: Worker = None,
    dry_run: DryRun = False,
) -> None:
    """Train the policy on image + question -> trajectory, with DeepSpeed."""
    attempt = attempt_of(
        time_budget=time_budget, worker=worker, dry_run=dry_run, reshard=action is not None
    )
    _stage("train", run, config, set_, as_json, attempt)


evaluation = typer.Typer(
    invoke_without_command=True, epilog=settings_help("eval"), rich_markup_mode="rich"
)
app.add_typer(evaluation, name="eval", rich_help_panel="Stages")


@evaluation.callback()
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
    _stage(
        "eval",
        required(context, "run", run),
        config,
        set_,
        as_json,
        attempt_of(redo=redo, time_budget=time_budget, worker=worker),
        num_workers,
    )


@evaluation.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Such as mmmu; `paper`: the paper's eight.")],
    root: Annotated[Path, typer.Option(help="Folder of the copies: what eval.root will be.")],
) -> None:
    """Copy benchmarks from the hub to a folder, for machines without internet."""
    from stages.benchmarks.published import fetch as copies

    for folder in copies(names, root):
        sys.stdout.write(f"{folder}\n")


@evaluation.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of an evaluation: RUN/evals/mmmu@base.")],
    second: Annotated[Path, typer.Argument(help="Another one on the same questions.")],
    as_json: Json = False,
) -> None:
    """Pair two evaluations question by question: difference, interval, p-value, what flipped."""
    found = evaluations.compare_evaluations(first, second)
    evaluations.show_comparison(found, evaluations.differing_terms(first, second), as_json)


@evaluation.command()
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


@app.command("run", rich_help_panel="Whole runs")
def run_all(
    run: Run,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
    time_budget: TimeBudget = None,
    worker: Worker = None,
) -> None:
    """Run all stages in order on this machine; what is done already is skipped."""
    resolved = _resolve(config, set_)
    _in_order(
        stage_order(resolved.config),
        RunDir(run),
        resolved,
        as_json,
        attempt_of(time_budget=time_budget, worker=worker),
    )


@app.command(rich_help_panel="Whole runs", help=SLURM_HELP, epilog=settings_help("slurm"))
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

    resolved = _resolve(config, set_)
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


@app.command(rich_help_panel="Whole runs")
def demo(
    run: Annotated[
        Path | None, typer.Option("--run", help="Folder of the run; default: a new one.")
    ] = None,
    config: ConfigFiles = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The whole story on the built-in world: a tiny policy learns to think, in minutes."""
    from sophia_cli.demo import DEMO_CONFIG, run_demo

    resolved = _resolve([DEMO_CONFIG, *(config or [])], set_)
    reports.show_demo(run_demo(run, resolved.config), as_json)


@app.command(rich_help_panel="Look")
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
        reports.show_status(RunDir(run).status(), as_json)
        if not watch:
            return
        time.sleep(watch)


@app.command(rich_help_panel="Look")
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


@app.command("config", rich_help_panel="Look")
def show_config(config: ConfigFiles = None, set_: Set = None, as_json: Json = False) -> None:
    """Every setting: its value, and where it came from."""
    reports.show_config(_resolve(config, set_), as_json)


@app.command(rich_help_panel="Look")
def check(
    file: Annotated[Path, typer.Argument(help="JSONL of id, gold, response and maybe question.")],
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Judge this line only, and say how.")
    ] = None,
) -> None:
    """Judge answers from a file with the verifier; a line of JSON for each."""
    from sophia_cli.check import check_file

    check_file(file, explain)


def _parse_mapping(text: str) -> dict[str, str]:
    """`question=problem,answer=gold` as a dictionary."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for name, equals, column in pairs:
        if not (name.strip() and equals and column.strip()):
            raise ConfigError(
                f"--map {text!r} is not a list of name=column pairs.",
                "Write it as --map question=COLUMN,answer=COLUMN,image=COLUMN.",
            )
    return {name.strip(): column.strip() for name, _, column in pairs}


def _resolve(files: list[Path] | None, assignments: list[str] | None) -> Resolved:
    return resolve_config(files or [], assignments or [], os.environ)


def _stage(
    stage: str,
    run: Path,
    files: list[Path] | None,
    assignments: list[str] | None,
    as_json: bool,
    attempt: Attempt | None = None,
    num_workers: int = 1,
) -> None:
    if num_workers > 1:
        sys.exit(run_workers(num_workers))
    _in_order([stage], RunDir(run), _resolve(files, assignments), as_json, attempt)


def _in_order(
    stages: list[str],
    run: RunDir,
    resolved: Resolved,
    as_json: bool,
    attempt: Attempt | None = None,
) -> None:
    """Run stages one after the other, up to one that stops early or fails in too many rows."""
    outcomes: dict[str, Outcome] = {}
    with session(run, resolved.config, attempt) as work:
        for stage in stages:
            outcomes[stage] = outcome = work.execute(stage)
            if not as_json:
                reports.show_outcome(stage, outcome)
            if exit_code(outcome, resolved.config):
                break
            if work.should_stop() and stage != stages[-1]:
                outcome.complete = False  # this stage is, the command is not
                break
    if as_json:
        print_json({name: vars(done) for name, done in outcomes.items()})
    for outcome in outcomes.values():
        finish(outcome, resolved.config)


def main() -> None:
    """The `sophia` command: errors a user can act on become a sentence and an exit code."""
    try:
        app()
    except SophiaError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # of commands that only look
        sys.exit(130)
