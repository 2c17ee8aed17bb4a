"""Stages as Slurm jobs: scripts for sbatch that a person can read and edit, and their submission.

A stage is one script: a job array where workers can share it, else one job. The text is in
`slurm.sbatch.jinja`.
"""

import math
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from data.errors import ConfigError
from data.world import PREFIX as WORLD
from sophia_cli.config import ENVIRONMENT_PREFIX, RUN_VARIABLE, RunConfig
from sophia_cli.slurm_settings import SlurmStage, TaskSettings, seconds_of
from sophia_cli.stage_settings import section, stage_module
from stages.engines import ModelConfig

TEMPLATE = "slurm.sbatch.jinja"
ORDER = tuple(SlurmStage)
PARTS = {SlurmStage.REWARD: (SlurmStage.VERIFY, SlurmStage.PROPAGATE_REWARD)}
ONE_JOB = frozenset({SlurmStage.PROPAGATE_REWARD, SlurmStage.TRAIN})
"""One takes no longer than a moment, the other is one process group: no use for more workers."""
FOLLOWED = {
    SlurmStage.REASON: SlurmStage.CAPTION,
    SlurmStage.VERIFY: SlurmStage.REASON,
    SlurmStage.JUDGE: SlurmStage.REASON,
    SlurmStage.REWARD: SlurmStage.REASON,
}
"""Stages that can work on some shards of their input while others are missing, and who writes it.
Behind any other stage they wait for its end."""


@dataclass(frozen=True)
class Invocation:
    """How `sophia slurm` was called, as far as the jobs are to be called the same way."""

    run: Path
    files: tuple[Path, ...] = ()
    assignments: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    """Where `SOPHIA_*` variables are looked up."""

    def options(self) -> Iterator[str]:
        """The options of a stage's command, quoted; settings of Slurm are in the script itself."""
        yield '--run "$run"'
        for file in self.files:
            path = str(file) if str(file).startswith(WORLD) else str(file.absolute())
            yield f"--config {shlex.quote(path)}"
        for assignment in self.assignments:
            if not assignment.strip().startswith("slurm."):
                yield f"--set {shlex.quote(assignment)}"

    def exports(self) -> list[tuple[str, str]]:
        """Settings in the environment, which may be another one when the job runs."""
        return [
            (name, value)
            for name, value in sorted((self.environment or {}).items())
            if name.startswith(ENVIRONMENT_PREFIX)
            and name != RUN_VARIABLE
            and not name.startswith(f"{ENVIRONMENT_PREFIX}SLURM__")
        ]


@dataclass(frozen=True)
class Script:
    """The script of one stage."""

    stage: SlurmStage
    text: str
    dependency: str | None
    """Slurm's dependency on the stage before, with JOB for the id of that one's job."""

    @property
    def file(self) -> str:
        """Name of the script's file."""
        return f"{self.stage}.sbatch"


def make_scripts(
    stages: Sequence[SlurmStage], config: RunConfig, invocation: Invocation
) -> list[Script]:
    """The scripts of some stages, in the order they depend on each other.

    Raises:
        ConfigError: the stages do not go together, or a time limit is too short.
    """
    chosen = sorted(set(stages), key=ORDER.index)
    for whole, parts in PARTS.items():
        if whole in chosen and (both := [part for part in parts if part in chosen]):
            raise ConfigError(
                f"{whole} is {' and '.join(parts)}, so that {both[0]} would run twice.",
                f"Name {whole}, or its parts.",
            )
    before: list[SlurmStage | None] = [None, *chosen[:-1]]
    return [
        _script(stage, previous, config, invocation)
        for stage, previous in zip(chosen, before, strict=True)
    ]


def write_scripts(scripts: Sequence[Script], folder: Path) -> list[Path]:
    """Write each script to a file of its stage's name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / script.file for script in scripts]
    for script, path in zip(scripts, paths, strict=True):
        path.write_text(script.text)
    return paths


def submit(scripts: Sequence[Script], paths: Sequence[Path]) -> list[str]:
    """Hand scripts to sbatch, each depending on the one before; returns the ids of the jobs.

    Raises:
        ConfigError: there is no sbatch, or it refuses a script.
    """
    jobs: list[str] = []
    for script, path in zip(scripts, paths, strict=True):
        command = ["sbatch", "--parsable"]
        if script.dependency:
            dependency = script.dependency.replace("JOB", jobs[-1])
            command += ["--kill-on-invalid-dep=yes", f"--dependency={dependency}"]
        try:
            done = subprocess.run([*command, str(path)], capture_output=True, text=True)
        except FileNotFoundError:
            raise ConfigError(
                "There is no sbatch on this machine.",
                "Submit on a login node of the cluster; here, --output-dir writes the scripts.",
            ) from None
        if done.returncode:
            reason = " ".join(done.stderr.split()).removeprefix("sbatch: error: ").rstrip(".")
            cancel = f", after scancel {' '.join(jobs)}" if jobs else ""
            raise ConfigError(
                f"sbatch refuses {path}: {reason}.",
                f"Correct the slurm settings and submit again{cancel}.",
            )
        jobs.append(done.stdout.strip().partition(";")[0])  # id, or id;cluster
    return jobs


def logs_folder(run: Path) -> Path:
    """Where the jobs' output goes."""
    return run.absolute() / "logs" / "slurm"


def _script(
    stage: SlurmStage, before: SlurmStage | None, config: RunConfig, invocation: Invocation
) -> Script:
    settings = config.slurm.of_stage(stage)
    is_shared = stage not in ONE_JOB
    follows = (
        before is not None and config.slurm.chain == "follow" and FOLLOWED.get(stage) == before
    )
    dependency = None
    if before:
        # Of an array, the first task to start is enough: the others may wait for long.
        dependency = "after:JOB_0" if follows else "afterok:JOB"
    text = _template().render(
        stage=stage,
        file=f"{stage}.sbatch",
        is_shared=is_shared,
        before=before,
        dependency=dependency,
        options=list(_sbatch_options(stage, config, settings)),
        folder=str(Path.cwd()),
        logs=str(logs_folder(invocation.run)),
        log_suffix="-%A_%a.log" if is_shared else "-%j.log",
        run=str(invocation.run.absolute()),
        num_nodes=num_nodes(stage, config),
        exports=invocation.exports(),
        setup=settings.setup or (),
        command=list(_command(stage, follows, config, invocation)),
        signal_seconds=settings.signal_seconds,
        max_idle=config.slurm.max_requeues_without_progress,
    )
    return Script(stage, text, dependency)


def _command(
    stage: SlurmStage, follows: bool, config: RunConfig, invocation: Invocation
) -> Iterator[str]:
    """What a task runs, in lines."""
    cpus = config.slurm.of_stage(stage).cpus_per_task
    # Since 22.05 srun doesn't take the CPUs of a task from the job any more.
    srun = f"srun --cpus-per-task={cpus} " if cpus else "srun "
    if num_nodes(stage, config) > 1:
        srun = ""  # the command itself runs one on all nodes
    yield f"{srun}{shlex.quote(_program())} {stage}"
    yield from invocation.options()
    if follows:
        yield "--follow"
    if stage != SlurmStage.PROPAGATE_REWARD:  # takes a moment, and no such options
        if budget := _time_budget(config.slurm.of_stage(stage)):
            yield f"--time-budget {budget}"
        yield '--worker "slurm-$task"'


def _sbatch_options(stage: SlurmStage, config: RunConfig, settings: TaskSettings) -> Iterator[str]:
    if stage not in ONE_JOB:
        limit = f"%{settings.max_running}" if settings.max_running else ""
        yield f"--array=0-{(settings.num_workers or 1) - 1}{limit}"
    yield f"--nodes={num_nodes(stage, config)}"
    yield "--ntasks-per-node=1"
    if gpus := num_gpus(stage, config):
        yield f"--gres=gpu:{gpus}"
    for name in ("cpus_per_task", "mem", "time", "partition", "account", "qos", "constraint"):
        value = getattr(settings, name)
        if value is not None:
            yield f"--{name.replace('_', '-')}={shlex.quote(str(value))}"
    yield from settings.options or ()


def num_nodes(stage: SlurmStage, config: RunConfig) -> int:
    """Nodes of a job; a training can have several."""
    return config.train.num_nodes if stage == SlurmStage.TRAIN else 1


def num_gpus(stage: SlurmStage, config: RunConfig) -> int:
    """GPUs of a task: as set for the stage, else as set for all, else what its models take.

    For training, train.num_ranks comes before what is set for all stages, unless that is 0.

    Raises:
        ConfigError: training would have fewer than ranks.
    """
    own, of_all = config.slurm.stages.get(stage), config.slurm.gpus_per_task
    if stage == SlurmStage.TRAIN:
        return _training_gpus(own.gpus_per_task if own else None, of_all, config.train.num_ranks)
    if own and own.gpus_per_task is not None:
        return own.gpus_per_task
    needed = max(_gpus_of_models(part, config) for part in PARTS.get(stage, (stage,)))
    return needed if needed == 0 or of_all is None else of_all


def _training_gpus(own: int | None, of_all: int | None, num_ranks: int | None) -> int:
    """GPUs of a node that trains: one for each rank, unless it is to train on CPUs."""
    if own is None and of_all != 0:
        return num_ranks or of_all or 1
    chosen = own or 0
    if 0 < chosen < (num_ranks or 0):
        raise ConfigError(
            f"slurm.stages.train.gpus_per_task = {chosen} is fewer than the train.num_ranks = "
            f"{num_ranks} of a node.",
            "Leave it out, which asks for one for each rank; or set train.num_ranks lower.",
        )
    return chosen


def _gpus_of_models(stage: SlurmStage, config: RunConfig) -> int:
    """GPUs of the largest model in the stage's own processes; 0: they run none."""
    used = stage_module(stage).models_used(section(config, stage))
    models = [model for role, model in config.models.by_role().items() if role in used]
    return max((_gpus_of(model) for model in models if model.engine != "endpoint"), default=0)


def _gpus_of(model: ModelConfig) -> int:
    """GPUs over which an engine spreads a model: vLLM's own arguments say so."""
    spreads = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    return math.prod(int(model.engine_args.get(name, 1)) for name in spreads)


def _time_budget(settings: TaskSettings) -> str | None:
    """What a stage may use of the time limit: all but the notice, which comes as a signal."""
    if settings.time is None:
        return None
    notice = settings.signal_seconds or 0
    seconds = seconds_of(settings.time) - notice
    if seconds <= 0:
        raise ConfigError(
            f"slurm.time = {settings.time} leaves nothing before the notice of "
            f"slurm.signal_seconds = {notice}.",
            "Give the tasks more time, or less notice.",
        )
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    named = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in named if number)


def _program() -> str:
    """The command that is running now, by its full path.

    A job needs no PATH and no activated environment for it; `python -m` would do the same, but
    would import a `data` folder that happens to lie where the job is started.
    """
    return str(Path(sys.argv[0]).absolute())


def _template() -> Template:
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["quote"] = shlex.quote
    return environment.from_string(files(__package__).joinpath(TEMPLATE).read_text())
