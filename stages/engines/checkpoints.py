"""What a model's files say before its weights are loaded: its kind, chat template and limits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoProcessor, AutoTokenizer, GenerationConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
)

from data.errors import InputError
from data.world import resolve


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model on disk or on the hub, with everything but its weights."""

    path: str
    """Folder or hub id, as transformers and vLLM take it."""
    multimodal: bool
    """Whether the model sees images."""
    processor: Any
    """The processor of a multimodal model, otherwise the tokenizer."""
    tokenizer: Any
    end_token_ids: frozenset[int]
    """A completion stops at any of these."""
    context_length: int | None
    """Prompt and completion together; None: the model does not say."""


def open_checkpoint(path: str) -> Checkpoint:
    """Read the files of a model.

    Args:
        path: a folder, a hub id or a model of the built-in world.

    Raises:
        InputError: there is no such model, or it is of a kind that can't be used here.
    """
    path = _locate(resolve(path))
    config = _read(AutoConfig, path)
    multimodal = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if not multimodal and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(
            f"{path} is a {config.model_type} model, which doesn't write text.",
            "Name a causal language model or a vision-language model.",
        )
    processor = _read(AutoProcessor if multimodal else AutoTokenizer, path)
    tokenizer = getattr(processor, "tokenizer", processor)
    if processor.chat_template is None and tokenizer.chat_template is None:
        raise InputError(
            f"{path} has no chat template.",
            "Use the instruction-tuned version, or add a chat_template.jinja to the folder.",
        )
    return Checkpoint(
        path=path,
        multimodal=multimodal,
        processor=processor,
        tokenizer=tokenizer,
        end_token_ids=_end_token_ids(path, config, tokenizer),
        context_length=getattr(config.get_text_config(), "max_position_embeddings", None),
    )


def _locate(path: str) -> str:
    """Tell a hub id from a folder, and a folder that is not a model from one that is."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(
                f"There is no config.json in {folder}.",
                "Name a folder in the layout of Hugging Face models.",
            )
        return str(folder)
    if path.startswith(("/", ".", "~")) or path.count("/") > 1 or folder.exists():
        raise InputError(f"There is no model folder {folder}.", "Check the path.")
    return path


def _read(kind: Any, path: str) -> Any:
    try:
        return kind.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> InputError:
    """Say why transformers could not load a model, and what to do about it."""
    explanation = str(error)
    if "trust_remote_code" in explanation or "custom code" in explanation:
        return InputError(
            f"{path} needs code of its own (trust_remote_code), which is never run.",
            "Use weights in the format of transformers, such as InternVL's with `-hf` in the name.",
        )
    remedy = (
        "Check that the folder is complete and that this version of transformers knows the model."
        if Path(path).is_dir()
        else "Check the name and that the hub can be reached, or name a folder with the model."
    )
    return InputError(f"The model {path} can't be loaded: {reason(error)}", remedy)


def reason(error: Exception) -> str:
    """What an exception says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _end_token_ids(path: str, config: Any, tokenizer: Any) -> frozenset[int]:
    try:
        generation_config = GenerationConfig.from_pretrained(path)
    except OSError:
        generation_config = GenerationConfig.from_model_config(config)
    ids = generation_config.eos_token_id
    listed = ids if isinstance(ids, list) else [ids]
    return frozenset(i for i in (*listed, tokenizer.eos_token_id) if i is not None)
