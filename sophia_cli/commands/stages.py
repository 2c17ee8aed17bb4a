"""The stages, a command each: from a data set to a trained policy."""

from pathlib import Path
from typing import Annotated

import typer

from data import tables
from data.errors import ConfigError
from sophia_cli import reports
from sophia_cli.commands.shared import resolve, run_in_order, run_stage
from sophia_cli.execute import finish, full_disk_explained, logging_to, stopping
from sophia_cli.options import (
    Action,
    ConfigFiles,
    DryRun,
    Follow,
    Json,
    NumWorkers,
    Redo,
    Run,
    Set,
    TimeBudget,
    Worker,
    attempt_of,
)
from sophia_cli.run_dir import RunDir
from sophia_cli.stage_settings import settings_help
from stages.job import Outcome

commands = typer.Typer()


@commands.command(rich_help_panel="Stages")
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
        int | None,
        typer.Option(help="Shards of every table; default: one per 256 rows.", min=1, max=99_999),
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
    from stages.gold_answers import check_golds

    resolved, root = resolve(config, set_), RunDir(run)
    with (
        stopping() as (report, should_stop),
        full_disk_explained(run),
        logging_to(root.log_path("ingest")),
    ):
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
        if metadata := tables.read_metadata(tables.shards(run / "samples")[0]):
            root.save_config(resolved.config, metadata)
        golds = check_golds(run / "samples", should_stop)
    reports.show_ingest(summary, golds, as_json)
    failed = sum(summary.num_errors.values())
    finish(Outcome(rows=summary.num_samples, errors=failed), resolved.config)


@commands.command(rich_help_panel="Stages", epilog=settings_help("caption"))
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
    run_stage(
        "caption",
        run,
        config,
        set_,
        as_json,
        attempt_of(redo=redo, time_budget=time_budget, worker=worker),
        num_workers,
    )


@commands.command(rich_help_panel="Stages", epilog=settings_help("reason"))
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
    run_stage(
        "reason",
        run,
        config,
        set_,
        as_json,
        attempt_of(redo=redo, follow=follow, time_budget=time_budget, worker=worker),
        num_workers,
    )


@commands.command(rich_help_panel="Stages", epilog=settings_help("verify"))
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
            help="Only show so many answers about which rules and language model disagree. A judge "
            "is asked about what the rules reject, so these are right answers that rules miss; "
            'wrong ones that they accept show up only with verify.llm_extractor = "all".',
            min=1,
        ),
    ] = None,
) -> None:
    """Compare each rollout's final answer with the gold answer."""
    if audit is None:
        run_stage(
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
    found = look(run, audit, resolve(config, set_).config.run.seed)
    reports.show_audit(found, as_json)


@commands.command(rich_help_panel="Stages", epilog=settings_help("judge"))
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
    run_stage(
        "judge",
        run,
        config,
        set_,
        as_json,
        attempt_of(redo=redo, follow=follow, time_budget=time_budget, worker=worker),
        num_workers,
    )


@commands.command(rich_help_panel="Stages", epilog=settings_help("propagate-reward"))
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
        run_stage("propagate-reward", run, config, set_, as_json)
        return
    from stages.what_if import forecast

    RunDir(run).require()
    resolved = resolve(config, set_).config
    with stopping() as (report, should_stop):
        found = forecast(
            run,
            select=resolved.propagate.select,
            alpha=resolved.propagate.alpha,
            keep=resolved.propagate.keep,
            run_seed=resolved.run.seed,
            report=report,
            should_stop=should_stop,
        )
    reports.show_forecast(found, as_json)


@commands.command(rich_help_panel="Stages")
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
    resolved = resolve(config, set_)
    run_in_order(
        ["verify", "propagate-reward"],
        RunDir(run),
        resolved,
        as_json,
        attempt_of(follow=follow, time_budget=time_budget, worker=worker),
        despite_errors=True,
    )


@commands.command(rich_help_panel="Stages", epilog=settings_help("train"))
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
    run_stage("train", run, config, set_, as_json, attempt)


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
