"""Names, shapes and types of a model's tensors on disk, and of those that an export would have.

No weight is read.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoConfig
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils import logging

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "BOOL": torch.bool,
}
"""What safetensors calls the types of weights that can be trained, or lie beside them."""
NAMES = {dtype: name for name, dtype in DTYPES.items()}

Facts = dict[str, tuple[tuple[int, ...], str]]
"""Name -> shape and type, as safetensors calls it."""


def tensor_facts(folder: Path) -> Facts:
    """Shape and type of every tensor in a folder's safetensors files.

    Raises:
        SafetensorError: a file is torn, or is none.
    """
    facts = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118, it is no dict
                part = file.get_slice(name)
                facts[name] = (tuple(part.get_shape()), str(part.get_dtype()))
    return facts


def exported_facts(folder: Path, facts: Facts) -> tuple[Facts, set[str]]:
    """What a model will have once it is loaded in its own type and saved.

    Args:
        folder: the model.
        facts: of its tensors, of types in `DTYPES`.

    Returns:
        The same of the export, and the names that it leaves out, being tied to another one.
    """
    config = AutoConfig.from_pretrained(folder)
    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # whoever asks says what is wrong, in fewer words
    logging.disable_progress_bar()
    try:
        model = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)].from_pretrained(
            None,
            config=config,
            state_dict={
                name: torch.empty(shape, dtype=DTYPES[kind], device="meta")
                for name, (shape, kind) in facts.items()
            },
            dtype="auto",
            device_map="meta",
            ignore_mismatched_sizes=True,
        )
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()
    tied = set(model.all_tied_weights_keys)
    state = {name: each for name, each in model.state_dict().items() if name not in tied}
    saved = revert_weight_conversion(model, state)
    return {name: (tuple(each.shape), NAMES[each.dtype]) for name, each in saved.items()}, tied


def differing(before: Facts, now: Facts, tied: set[str]) -> list[str]:
    """The tensors that are not the same in a model and its export.

    Args:
        before: the model's.
        now: the export's.
        tied: names that it may leave out, being the same tensor as another one.
    """
    return sorted(
        name
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name) and not (name in tied and name not in now)
    )
