"""What training can't do with a policy, or on this machine: refused before anything is planned."""

from pathlib import Path

from data.errors import ConfigError
from stages.training.config import Config

LOGIT_SETTINGS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""What models call a cap on their logits, or a factor."""


def check_supported(model: Path, config: Config) -> None:
    """Refuse a policy that can't be trained as it is wanted.

    Args:
        model: its folder.
        config: how it is to be trained.

    Raises:
        ConfigError: its log-probabilities would be wrong, gradients would be summed in bfloat16,
            or what is exported could not be compared with it.
    """
    _check_sums(config)
    _check_files(model)
    _check_language_model(model, config)


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
            "Convert them: AutoModelForImageTextToText.from_pretrained(PATH, dtype='auto')"
            ".save_pretrained(NEW), and copy the other files.",
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
