"""Prompts from requests, and completions from tokens: what every engine does alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from PIL import Image

from data.images import open_image
from stages.engines import Completion, Message, Request
from stages.engines.checkpoints import Checkpoint, reason
from stages.engines.conversation import (
    RequestError,
    as_parts,
    as_text,
    check_mentions,
    decode,
    opened_thinking,
)


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
    """Renders requests for one model, and turns its tokens back into text.

    Args:
        checkpoint: the model.
        open_one: decodes an image, or raises an `ImageError`.
    """

    def __init__(
        self, checkpoint: Checkpoint, open_one: Callable[[bytes], Image.Image] = open_image
    ) -> None:
        self.checkpoint = checkpoint
        self.open_one = open_one
        self.last: tuple[Request, Prompt] | None = None

    def prompt(self, request: Request) -> Prompt:
        """Apply the chat template and open the images.

        Requests that ask the same follow each other, so the last prompt is kept.

        Raises:
            RequestError: an image is broken or the template rejects the messages.
        """
        if (prompt := self.known(request)) is None:
            prompt = self._render(request)
        self.last = request, prompt
        return prompt

    def known(self, request: Request) -> Prompt | None:
        """The last prompt, where this request has the same."""
        if self.last is None:
            return None
        asked, prompt = self.last
        is_same = request.messages == asked.messages and request.images == asked.images
        return prompt if is_same else None

    def _render(self, request: Request) -> Prompt:
        if request.images and not self.checkpoint.multimodal:
            raise RequestError("image", "The model takes no images.")
        check_mentions(request.messages, request.images)
        images = [decode(image, self.open_one) for image in request.images]
        text = self._apply_template(request.messages)
        return Prompt(
            text=text,
            # Templates write the special tokens themselves.
            token_ids=self.checkpoint.tokenizer.encode(text, add_special_tokens=False),
            images=images,
            image_digests=[sha256(image).hexdigest() for image in request.images],
            prefill=opened_thinking(text),
        )

    def _apply_template(self, messages: Sequence[Message]) -> str:
        listed = self.checkpoint.multimodal
        conversation = [
            message | {"content": as_parts(message) if listed else as_text(message)}
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
