"""What a request says, whoever answers it: its parts, its images, and why it can't be served."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from data.images import ImageError, open_image
from stages.engines import Completion, Message, Request

THINK_PREFILL = re.compile(r"<think>\s*\Z")


class RequestError(Exception):
    """A request that can't be served; its completion carries the reason.

    Args:
        kind: `image`, `template`, `prompt_too_long`, `request` or `server`.
        explanation: a sentence.
    """

    def __init__(self, kind: str, explanation: str) -> None:
        super().__init__(f"{kind}: {explanation}")


def failure(request: Request, error: RequestError) -> Completion:
    """The completion of a request that can't be served."""
    return Completion(id=request.id, error=str(error))


def opened_thinking(prompt: str) -> str | None:
    """What a chat template wrote of the answer at the end of a prompt: `<think>`, or nothing."""
    prefill = THINK_PREFILL.search(prompt)
    return prefill.group() if prefill else None


def as_parts(message: Message) -> list[dict[str, Any]]:
    """The content of a message as a list, whichever way it was written."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def as_text(message: Message) -> str:
    """The text of a message: templates of text-only models can't take a list of parts."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def check_mentions(messages: Sequence[Message], images: Sequence[bytes]) -> None:
    """See that there is an image for each one that the messages mention.

    Raises:
        RequestError: there are more, or fewer.
    """
    mentioned = sum(part["type"] == "image" for message in messages for part in as_parts(message))
    if mentioned != len(images):
        raise RequestError(
            "image", f"The messages mention {mentioned} images, there are {len(images)}."
        )


def decode(image: bytes, open_one: Callable[[bytes], Image.Image] = open_image) -> Image.Image:
    """Open one image of a request.

    Raises:
        RequestError: it is broken.
    """
    try:
        return open_one(image)
    except ImageError as error:
        raise RequestError("image", str(error)) from error
