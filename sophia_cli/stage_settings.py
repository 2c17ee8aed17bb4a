"""A stage's settings: its section of the configuration, and what of it its output depends on."""

from importlib import import_module
from types import ModuleType
from typing import Any

from data.tables import digest_of
from sophia_cli.config import RunConfig, flatten
from stages import STAGES
from stages.eval_checkpoint import checkpoint_identity
from stages.prompts import load_prompt

MODEL_ENGINE_ONLY = ("base_url", "batch_size", "engine_args")
IDENTITY_ARGS = frozenset(
    # Which weights, and how they are read.
    {"model", "model_weights", "hf_config_path", "hf_overrides", "revision", "code_revision"}
    | {"subfolder", "variant", "gguf_file", "load_format", "default_mm_loras", "rope_scaling"}
    # In which numbers they compute.
    | {"dtype", "torch_dtype", "quantization", "quantization_config", "kv_cache_dtype"}
    | {"kv_cache_dtype_skip_layers"}
    # What they are given, and what is kept of what they write.
    | {"tokenizer", "tokenizer_mode", "tokenizer_revision", "mm_processor_kwargs", "max_model_len"}
    | {"disable_sliding_window", "logits_processors", "watermark_config", "extra_body"}
    | {"logprobs", "logprobs_mode", "return_token_ids"}
)
"""Engine arguments that change what a model writes, or what its row says of it; the others are
memory and parallelism."""


def stage_module(stage: str) -> ModuleType:
    """The module of a stage by its command's name."""
    return import_module(STAGES[stage])


def section(config: RunConfig, stage: str) -> Any:
    """A stage's own settings."""
    return getattr(config, section_name(stage))


def section_name(stage: str) -> str:
    """The section of the configuration that a stage reads."""
    return "propagate" if stage == "propagate-reward" else stage


def settings_help(stage: str) -> str:
    """A stage's settings with their defaults and meanings, for `--help`."""
    prefix = section_name(stage)
    lines = ["[bold]Settings[/] (in a file, or with --set):"]
    for name, field in type(section(RunConfig(), stage)).model_fields.items():
        default = field.get_default(call_default_factory=True)
        meaning = " ".join((field.description or "").split()).replace("[", r"\[")
        lines.append(f"[cyan]{prefix}.{name}[/] = {default!r}: {meaning}")
    return "\n\n".join(lines)


def borrowed_settings(config: RunConfig, stage: str) -> dict[str, Any]:
    """The settings of other sections that a stage's `settings_read` names, if it has one."""
    read = getattr(stage_module(stage), "settings_read", lambda own, roles: ())
    values = dict(flatten(config.model_dump(mode="json")))
    roles = config.models.by_role().keys()
    return {key: values[key] for key in read(section(config, stage), roles)}


def stage_settings(config: RunConfig, stage: str) -> dict[str, Any]:
    """The settings that a stage's output depends on, as flat JSON.

    Engine-only settings are left out, its own and borrowed ones, and so are those that mean nothing
    without a model that is not there or as the others are; a prompt counts with its text.
    """
    module, own = stage_module(stage), section(config, stage)
    name = section_name(stage)
    models = config.models.by_role()
    left_out = {*own.ENGINE_ONLY, *getattr(own, "UNUSED", ())}
    left_out |= {key for key, role in getattr(own, "ONLY_WITH", {}).items() if role not in models}
    chosen: dict[str, Any] = {"run.seed": config.run.seed}
    for key, value in flatten(own.model_dump(mode="json", exclude=left_out)):
        chosen[f"{name}.{key}"] = value
        if key.endswith("prompt") and isinstance(value, str):
            chosen[f"{name}.{key}.digest"] = digest_of(load_prompt(value))
    for key, value in borrowed_settings(config, stage).items():
        lender, _, field = key.partition(".")
        lent = getattr(config, lender)
        if field not in (*lent.ENGINE_ONLY, *getattr(lent, "UNUSED", ())):
            chosen[key] = value
    for role in module.models_used(own):
        if (model := models.get(role)) is None:
            continue
        if stage == "train":  # runs the model itself, on no engine
            values: dict[str, Any] = {"path": model.path}
        else:
            values = model.model_dump(mode="json", exclude=set(MODEL_ENGINE_ONLY))
            values |= {
                f"engine_args.{key}": value
                for key, value in model.engine_args.items()
                if key in IDENTITY_ARGS
            }
        if (trained := checkpoint_identity(model.path)) != model.path:
            values["trained"] = trained
        chosen |= {f"models.{role}.{key}": value for key, value in values.items()}
    return chosen
