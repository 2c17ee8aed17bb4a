"""Prompts from requests, and completions from tokens: what every engine does alike."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from PIL import Image

from data.images import ImageError, open_image
from stages.engines import Completion, Message, Request
from stages.engines.checkpoints import Checkpoint, reason

THINK_PREFILL = re.compile(r"<think>\s*\Z")


class RequestError(Exception):
    """A request that can't be served; its completion carries the reason.

    Args:
        kind: `image`, `template`, `prompt_too_long` or `request`.
        explanation: a sentence.
    """

    def __init__(self, kind: str, explanation: str) -> None:
        super().__init__(f"{kind}: {explanation}")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A request as the model's processor takes it."""

    text: str
    """One placeholder for each image, not yet expanded."""
    token_ids: list[int]
    """The text's."""
    images: list[Image.Image]
    image_digests: list[str]
    """Of the encoded images."""
    prefill: str | None
    """What the template wrote of the answer."""

    def rejected(self, error: Exception) -> RequestError:
        """The model's processor can't take this prompt."""
        return RequestError("image" if self.images else "template", reason(error))


class Renderer:
    """Renders requests for one model, and turns its tokens back into text."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.last: tuple[Request, Prompt] | None = None

    def prompt(self, request: Request) -> Prompt:
        """Apply the chat template and open the images.

        Requests that ask the same follow each other, so the last prompt is kept.

        Raises:
            RequestError: an image is broken or the template rejects the messages.
        """
        if self.last is not None:
            asked, prompt = self.last
            if request.messages == asked.messages and request.images == asked.images:
                return prompt
        prompt = self._render(request)
        self.last = request, prompt
        return prompt

    def _render(self, request: Request) -> Prompt:
        if request.images and not self.checkpoint.multimodal:
            raise RequestError("image", "The model takes no images.")
        mentioned = sum(
            part["type"] == "image" for message in request.messages for part in _as_parts(message)
        )
        if mentioned != len(request.images):
            raise RequestError(
                "image",
                f"The messages mention {mentioned} images, there are {len(request.images)}.",
            )
        try:
            images = [open_image(image) for image in request.images]
        except ImageError as error:
            raise RequestError("image", str(error)) from error
        text = self._apply_template(request.messages)
        prefill = THINK_PREFILL.search(text)
        return Prompt(
            text=text,
            # Templates write the special tokens themselves.
            token_ids=self.checkpoint.tokenizer.encode(text, add_special_tokens=False),
            images=images,
            image_digests=[sha256(image).hexdigest() for image in request.images],
            prefill=prefill.group() if prefill else None,
        )

    def _apply_template(self, messages: Sequence[Message]) -> str:
        listed = self.checkpoint.multimodal
        conversation = [
            message | {"content": _as_parts(message) if listed else _as_text(message)}
            for message in messages
        ]
        renderer = self.checkpoint.processor
        if renderer.chat_template is None:
            renderer = self.checkpoint.tokenizer
        try:
            text: str = renderer.apply_chat_template(
                conversation, tokenize=False, add_generation_prompt=True
            )
        # Templates are programs: whatever they raise is about these messages.
        except Exception as error:
            raise RequestError("template", reason(error)) from error
        return text

    def max_tokens(self, request: Request, prompt_tokens: int, limit: int | None) -> int:
        """How many tokens a request may have within the context length.

        Raises:
            RequestError: there is no room for a single one.
        """
        if limit is None:
            return request.sampling.max_tokens
        if prompt_tokens >= limit:
            raise RequestError(
                "prompt_too_long",
                f"The prompt has {prompt_tokens} tokens, the model takes {limit} "
                "including those it writes.",
            )
        return min(request.sampling.max_tokens, limit - prompt_tokens)

    def completion(
        self, request: Request, prompt: Prompt, token_ids: Sequence[int], logprob: float
    ) -> Completion:
        """Make the completion of a row that has ended by itself or reached its limit."""
        end_token_ids = self.checkpoint.end_token_ids
        stopped = bool(token_ids) and token_ids[-1] in end_token_ids
        text: str = self.checkpoint.tokenizer.decode(
            token_ids[:-1] if stopped else token_ids,
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return Completion(
            id=request.id,
            text=text,
            token_ids=token_ids,
            logprob=logprob,
            finish_reason="stop" if stopped else "length",
            prefill=prompt.prefill,
        )


def failure(request: Request, error: RequestError) -> Completion:
    """The completion of a request that can't be served."""
    return Completion(id=request.id, error=str(error))


def _as_parts(message: Message) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _as_text(message: Message) -> str:
    """The text of a message: templates of text-only models can't take a list of parts."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
