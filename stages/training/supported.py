"""What some language models do that training does not: refused before anything is planned."""

from pathlib import Path

from data.errors import ConfigError
from stages.training.config import Config

LOGIT_SETTINGS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""What models call a cap on their logits, or a factor."""


def check_supported(model: Path, config: Config) -> None:
    """Refuse a policy whose log-probabilities would be wrong.

    Args:
        model: its folder.
        config: how it is to be trained.

    Raises:
        ConfigError: it caps its attention scores and rows are packed, or it changes its logits.
    """
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
