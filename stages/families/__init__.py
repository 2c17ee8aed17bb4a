"""What differs between families of vision-language models: image features and position ids.

Every family that is supported has its language model at `model.model.language_model` and its head
at `model.lm_head`. To add one, write a module with the functions of `Family`, and add its model
types to `FAMILIES`.
"""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from data.errors import ConfigError, InputError
from data.world import resolve

if TYPE_CHECKING:
    from torch import Tensor

FAMILIES = {
    "internvl": "stages.families.internvl",
    "llava": "stages.families.llava",
    "qwen2_5_vl": "stages.families.qwen_vl",
    "qwen3_vl": "stages.families.qwen_vl",
}
"""`model_type` of a checkpoint's config.json -> module."""


@dataclass(frozen=True)
class ImageFeatures:
    """What the frozen vision part makes of the images of one row. N: their placeholder tokens."""

    embeddings_NH: "Tensor"
    """Take the place of the placeholders' embeddings, in order."""
    deeper_NH: tuple["Tensor", ...] = ()
    """Added to the placeholders' hidden states after the first layers (Qwen3-VL's DeepStack)."""
    grid_I3: "Tensor | None" = None
    """Time, height and width of each image in patches, where positions depend on it."""


class Family(Protocol):
    """The functions of a family module."""

    def image_features(self, model: Any, pixels: Mapping[str, "Tensor"]) -> ImageFeatures:
        """Run vision tower and projector over the images of one row.

        Args:
            model: the whole model.
            pixels: what the processor made of the images, such as `pixel_values`.
        """
        ...

    def position_ids(self, model: Any, input_ids_L: "Tensor", grid_I3: "Tensor | None") -> "Tensor":
        """Positions of one row, as the language model wants them. Shape [L] or [rows, L].

        Args:
            model: the whole model.
            input_ids_L: token ids.
            grid_I3: of the row's images.
        """
        ...


def load_family(model_type: str) -> Family:
    """The family module of a model type.

    Raises:
        ConfigError: no family knows it.
    """
    if model_type not in FAMILIES:
        hint = f"Supported model types: {', '.join(FAMILIES)}."
        if model_type == "internvl_chat":
            hint = "Use the native checkpoint of this model, whose name ends in -hf."
        raise ConfigError(f"Training does not know the model type {model_type!r}.", hint)
    return cast(Family, importlib.import_module(FAMILIES[model_type]))


def model_folder(path: str) -> Path:
    """The local folder of a model: a folder, a hub id (downloaded once), or `world:policy`.

    Raises:
        InputError: there is no model.
    """
    folder = Path(resolve(path))
    if not folder.is_dir():
        folder = _download(path)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no model: config.json is missing.", "Check the path.")
    return folder


def model_type(folder: Path) -> str:
    """What config.json says the model is.

    Raises:
        InputError: it is torn, or no configuration.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return str(config.get("model_type"))
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"{path} can't be read as a model's configuration ({error}).",
            "Download or copy the model again.",
        ) from error


def _download(path: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise InputError(
            f"There is no model at {path!r}, neither a folder nor on the hub ({error}).",
            "Check models.policy.path.",
        ) from error
