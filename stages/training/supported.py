"""What training can't do with a policy, or on this machine: refused before anything is planned."""

from pathlib import Path

from data.errors import ConfigError, InputError
from stages.training.config import Config

LOGIT_SETTINGS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""What models call a cap on their logits, or a factor."""
CONVERT = (
    "Convert them: AutoModelForImageTextToText.from_pretrained(PATH, dtype='auto')"
    ".save_pretrained(NEW), and copy the other files."
)


def check_supported(model: Path, config: Config) -> None:
    """Refuse a policy that can't be trained as it is wanted.

    Args:
        model: its folder.
        config: how it is to be trained.

    Raises:
        ConfigError: its log-probabilities would be wrong, gradients would be summed in bfloat16,
            or what is exported would have other tensors, or could not be compared with it.
        InputError: its weights are torn, or some are missing.
    """
    _check_sums(config)
    _check_files(model)
    _check_language_model(model, config)
    _check_tensors(model)


def _check_sums(config: Config) -> None:
    import torch

    if config.zero_stage == 0 and not config.computes_in_float32(torch.cuda.is_available()):
        raise ConfigError(
            "On this GPU train.dtype = auto is bfloat16, and with train.zero_stage = 0 gradients "
            "would be summed in it.",
            "Set train.zero_stage = 2, or train.dtype = float32.",
        )


def _check_files(model: Path) -> None:
    if not any(model.glob("*.safetensors")):
        raise ConfigError(
            f"The weights in {model} are not in safetensors, with whose names and shapes an export "
            "is compared.",
            CONVERT,
        )


def _check_language_model(model: Path, config: Config) -> None:
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(model).get_text_config()
    cap = getattr(text, "attn_logit_softcapping", None)
    if cap is not None and config.is_packed:
        raise ConfigError(
            f"The policy caps its attention scores (attn_logit_softcapping = {cap}), which "
            "attention within packed rows does not.",
            "Train row by row, with train.pack_length = null and train.micro_batch_size = 1.",
        )
    for name in LOGIT_SETTINGS:
        if (value := getattr(text, name, None)) not in (None, 1, 1.0):
            raise ConfigError(
                f"The policy changes its logits ({name} = {value}), which the fused loss does not.",
                "Train a policy whose head gives its logits as they are.",
            )


def _check_tensors(model: Path) -> None:
    """Refuse weights that an export would not have alike: that fails when training is done."""
    from safetensors import SafetensorError

    from stages.training.tensor_facts import DTYPES, differing, exported_facts, tensor_facts

    try:
        facts = tensor_facts(model)
    except SafetensorError as error:
        raise InputError(
            f"The weights in {model} can't be read ({error}).", "Download or copy them again."
        ) from error
    if unknown := sorted({kind for _, kind in facts.values()} - DTYPES.keys()):
        raise ConfigError(
            f"Weights in {model} are of type {unknown[0]}, in which nothing can be trained.",
            "Use the model in bfloat16 or float32, not a quantized one.",
        )
    exported, tied = exported_facts(model, facts)
    names = differing(facts, exported, tied)
    if missing := [name for name in names if name not in facts]:
        raise InputError(
            f"The weights in {model} lack {len(missing)} of the model's, such as {missing[0]}.",
            "Download or copy the whole model again.",
        )
    if names:
        begins = f"{len(names)} tensors in {model} would not be exported as they are: {names[0]} "
        if names[0] not in exported:
            raise ConfigError(f"{begins}is no part of the model.", CONVERT)
        (before, old), (shape, new) = facts[names[0]], exported[names[0]]
        changed = f"{old}, and would be {new}" if before == shape else f"{before}, not {shape}"
        raise ConfigError(f"{begins}is {changed}.", CONVERT)
