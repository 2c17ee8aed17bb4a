"""Configuration: defaults, TOML files, environment and --set, merged into one frozen model.

Later sources win: defaults, files from left to right, `SOPHIA_*` variables (`__` for the dot, as
in `SOPHIA_CAPTION__NUM_CAPTIONS`), then `--set`. An unknown key is an error that names the nearest
known one.
"""

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import ConfigError
from data.world import resolve
from sophia_cli.slurm_settings import SlurmSettings
from stages.caption import Config as CaptionConfig
from stages.engines import ModelConfig
from stages.eval import Config as EvalConfig
from stages.judge import Config as JudgeConfig
from stages.propagate_reward import Config as PropagateConfig
from stages.reason import Config as ReasonConfig
from stages.train import Config as TrainConfig
from stages.verify import Config as VerifyConfig

ENVIRONMENT_PREFIX = "SOPHIA_"
RUN_VARIABLE = "SOPHIA_RUN"
"""Stands for --run, and is no setting."""


class RunSettings(BaseModel):
    """What holds for the whole run."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    seed: int = Field(0, ge=0)
    """Everything drawn at random follows from this and a row's key."""
    max_error_rate: float = Field(0.05, ge=0, le=1)
    """A stage with a larger share of failed rows exits with 4."""
    commit_seconds: float = Field(20.0, gt=0)
    """A finished row waits at most this long until it is on disk: what a kill can cost."""
    lease_seconds: float = Field(60.0, gt=0)
    """A worker that shows no sign of life for longer loses its shards to the others."""


class Models(BaseModel):
    """The models of the run, by role."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    policy: ModelConfig = ModelConfig()
    """The trainable vision-language model."""
    reasoner: ModelConfig = ModelConfig()
    """The frozen text-only model that thinks."""
    judge: ModelConfig = ModelConfig()
    """The model that scores the thinking of on-policy rollouts."""
    verifier: ModelConfig = ModelConfig()
    """The model that looks at final answers where verify or eval have an `llm_` setting on."""
    hard_reasoner: ModelConfig = ModelConfig()
    """A second, stronger one for questions that the reasoner fails at; without a path there is
    none."""

    def by_role(self) -> dict[str, ModelConfig]:
        """The models there are; the hard reasoner only where it has a path."""
        return {
            role: model for role, model in self if role != "hard_reasoner" or model.path is not None
        }


class RunConfig(BaseModel):
    """Everything that can be set."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: RunSettings = RunSettings()
    models: Models = Models()
    caption: CaptionConfig = CaptionConfig()
    reason: ReasonConfig = ReasonConfig()
    verify: VerifyConfig = VerifyConfig()
    judge: JudgeConfig = JudgeConfig()
    propagate: PropagateConfig = PropagateConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    slurm: SlurmSettings = SlurmSettings()


@dataclass(frozen=True)
class Resolved:
    """The configuration that holds, and where each value came from."""

    config: RunConfig
    origins: dict[str, str]
    """Dotted key -> `file NAME`, `environment` or `--set`; a key that is not here is a default."""

    def explain(self) -> Iterator[tuple[str, Any, str]]:
        """(key, value, origin) of every setting."""
        for key, value in flatten(self.config.model_dump(mode="json")):
            near = [name for name in self.origins if key == name or key.startswith(f"{name}.")]
            yield key, value, self.origins[near[0]] if near else "default"


def resolve_config(
    files: Sequence[Path], assignments: Sequence[str], environment: Mapping[str, str]
) -> Resolved:
    """Merge all sources.

    Args:
        files: TOML files, later ones win.
        assignments: `key=value`, with the value in TOML or a bare string.
        environment: where `SOPHIA_*` variables are looked up.

    Raises:
        ConfigError: a file that can't be read, an unknown key, or a value out of range.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for values, origin in _sources(files, assignments, environment):
        for key, value in values:
            _assign(merged, key, value, origin)
            origins[key] = origin
    try:
        return Resolved(RunConfig.model_validate(merged), origins)
    except ValidationError as error:
        raise _explained(error, origins) from None


Settings = list[tuple[str, Any]]


def _sources(
    files: Sequence[Path], assignments: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[Settings, str]]:
    for path in files:
        yield list(flatten(_read_file(path))), f"file {path}"
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX) and name != RUN_VARIABLE:
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            yield [(key, _parse_value(environment[name]))], f"environment {name}"
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"--set {assignment!r} has no value.", "Write it as --set section.key=value."
            )
        yield [(key.strip(), _parse_value(text.strip()))], "--set"


def _read_file(path: Path) -> dict[str, Any]:
    """A TOML file, or the `config.json` of a run, whose settings are to hold again."""
    try:
        text = Path(resolve(str(path))).read_text(encoding="utf-8")
        if path.suffix == ".json":
            saved: dict[str, Any] = json.loads(text)["config"]
            return saved
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} can't be read: {error.strerror}.",
            "Check the path given to --config.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", "Correct the file.") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not the config.json of a run: {error}.", "Write settings in TOML."
        ) from error


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as (dotted key, value) pairs; an empty table is a value."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{key}.")
        else:
            yield key, value


def _assign(target: dict[str, Any], key: str, value: Any, origin: str) -> None:
    *sections, name = key.split(".")
    for section in sections:
        inner = target.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{key} ({origin}) goes through {section!r}, which is a value, not a section.",
                "See `sophia config` for the keys there are.",
            )
        target = inner
    target[name] = value


def _known_beside(key: str) -> list[str]:
    """The keys of a table that is one of several under names that the user gives it.

    `train.mix.NAME.weight` is no default, for there is no NAME, but may be what was meant.
    """
    path = key.split(".")
    model: type[BaseModel] = RunConfig
    for place, part in enumerate(path[:-1], start=1):
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        if _is_model(kind):
            model = kind
        else:
            values = filter(_is_model, get_args(kind))
            return [
                ".".join([*path[: place + 1], name])
                for each in values
                for name in each.model_fields
            ]
    return []


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _explained(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    """A problem of a validation in words: an unknown key, which explains others, or the first."""
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        key = next((name for name in origins if f"{name}.".startswith(f"{key}.")), key)
    origin = next((origins[name] for name in origins if name.startswith(key)), "default")
    if problem["type"] == "extra_forbidden":
        known = [name for name, _ in flatten(RunConfig().model_dump())]
        known += _known_beside(key)
        near = [name for name in known if name.startswith(key)][:1]
        near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        near = near or [name for name in known if name.endswith(f".{path[-1]}")][:1]
        near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        hint = f"The nearest known key is {near[0]!r}." if near else "`sophia config` lists them."
        return ConfigError(f"Unknown key {key!r} ({origin}).", hint)
    return ConfigError(
        f"{key} = {problem['input']!r} ({origin}) is not valid: {problem['msg']}.",
        "`sophia config` prints every key with its value and where it came from.",
    )
