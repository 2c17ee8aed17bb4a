"""OpenAI's chat protocol: messages as servers take them, and what an answer says."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from PIL import ExifTags, Image

from data.images import FORMATS
from stages.engines import Completion, Message, Request
from stages.engines.conversation import (
    RequestError,
    as_parts,
    as_text,
    check_mentions,
    decode,
    opened_thinking,
)

SENT_AS_THEY_ARE = ("image/jpeg", "image/png", "image/webp")
"""Formats that every server knows; images of others are sent as PNG."""
PRUNED = "pruned"
UNFINISHED = "unfinished"
THINK_OPENING = "<think>\n"
"""What templates that open the thinking themselves write."""


def to_messages(messages: Sequence[Message], images: Sequence[bytes]) -> list[dict[str, Any]]:
    """A conversation with its images inside, each where it is mentioned.

    Raises:
        RequestError: an image is broken, or the messages mention more or fewer than there are.
    """
    check_mentions(messages, images)
    urls = iter([data_url(image) for image in images])
    return [message | {"content": _content(message, urls)} for message in messages]


def _content(message: Message, urls: Any) -> str | list[dict[str, Any]]:
    parts = as_parts(message)
    if all(part["type"] == "text" for part in parts):
        return as_text(message)
    return [
        part if part["type"] == "text" else {"type": "image_url", "image_url": {"url": next(urls)}}
        for part in parts
    ]


@lru_cache(maxsize=16)
def data_url(encoded: bytes) -> str:
    """An image inside a URL.

    Servers don't agree on rotated, transparent or moving pictures, so those are sent as the other
    engines see them, and only plain ones as they are. Requests about the same images follow each
    other, so the last ones are kept.

    Raises:
        RequestError: it is broken.
    """
    seen = decode(encoded)
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        mime_type = image.get_format_mimetype()
        plain = image.mode == "RGB" and getattr(image, "n_frames", 1) == 1
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    if mime_type not in SENT_AS_THEY_ARE or not plain or turned:
        file = io.BytesIO()
        seen.save(file, "PNG")
        mime_type, encoded = "image/png", file.getvalue()
    return f"data:{mime_type};base64,{base64.b64encode(encoded).decode()}"


@dataclass
class Answer:
    """What a server has said so far: all of it at once, or a stream's chunk after chunk."""

    content: list[str] = field(default_factory=list)
    """Pieces of text."""
    reasoning: list[str] = field(default_factory=list)
    """Pieces of the thinking that the server took out of the content."""
    prompt: str | None = None
    """As the template wrote it, where the server shows it."""
    token_ids: list[int] | None = None
    logprob: float | None = None
    finish_reason: Any = None
    """A word, as the server gives it, or `pruned`, or `unfinished`."""
    stop_reason: Any = None
    """The string that ended it, or which end-of-turn token, where the server says so."""
    num_tokens: int | None = None
    """What the server says at the end."""
    num_seen: int = 0
    """Tokens so far; at least so many, where a server only sends text."""
    put_together: tuple[str, str | None] | None = None
    """Text and prefill of an answer that came in two pieces, at different times."""

    def add(self, response: Any) -> None:
        """Take in a response, or a chunk of one."""
        self.prompt = getattr(response, "prompt_text", None) or self.prompt
        if usage := getattr(response, "usage", None):
            self.num_tokens = usage.completion_tokens
        for choice in getattr(response, "choices", None) or ():
            self._add_choice(choice)

    def _add_choice(self, choice: Any) -> None:
        content, reasoning = _said(choice)
        self.content.append(content)
        self.reasoning.append(reasoning)
        count = int(bool(content or reasoning))
        if logprobs := _logprobs(choice):
            self.logprob = (self.logprob or 0.0) + sum(logprobs)
            count = len(logprobs)
        if token_ids := getattr(choice, "token_ids", None):
            self.token_ids = self.token_ids or []
            self.token_ids.extend(token_ids)
            count = len(token_ids)
        self.num_seen += count
        self.finish_reason = choice.finish_reason or self.finish_reason
        self.stop_reason = getattr(choice, "stop_reason", None) or self.stop_reason

    @property
    def is_cut_short(self) -> bool:
        """Whether it was given up before its end."""
        return self.finish_reason in (PRUNED, UNFINISHED)

    def completion(self, request: Request) -> Completion:
        """The completion of an answer that is over.

        Raises:
            RequestError: it ended neither by itself nor at its limit, nor was it given up.
        """
        if self.finish_reason not in ("stop", "length") and not self.is_cut_short:
            raise RequestError("request", f"The server ended the answer: {self.finish_reason}.")
        num_tokens = self.num_seen if self.is_cut_short else self.num_tokens
        completion = Completion(
            id=request.id,
            token_ids=self.token_ids or (),
            num_tokens=num_tokens if self.token_ids is None else None,
            logprob=self.logprob,
            finish_reason=self.finish_reason,
        )
        if self.is_cut_short:
            return completion
        text, prefill = self.put_together or self._text()
        return replace(completion, text=text, prefill=prefill)

    def _text(self) -> tuple[str, str | None]:
        """The answer with its thinking in it, and what the template wrote of it.

        A server with a reasoning parser takes the thinking out of the text: it is put back, closed
        only if something follows. One without a parser writes what the model did, after what the
        template opened; where it doesn't show the prompt, an answer that closes the thinking
        without opening it tells.
        """
        content, reasoning = "".join(self.content), "".join(self.reasoning)
        if reasoning:
            thinking = f"{THINK_OPENING}{reasoning.strip()}"
            answer = content.strip()
            return (f"{thinking}\n</think>\n\n{answer}" if answer else thinking), None
        if self.prompt is not None:
            return content, opened_thinking(self.prompt)
        before, closed, _ = content.partition("</think>")
        return content, THINK_OPENING if closed and "<think>" not in before else None


def _said(choice: Any) -> tuple[str, str]:
    """What a choice, or a chunk of one, says, and what it thinks."""
    if (text := getattr(choice, "text", None)) is not None:  # it goes on behind tokens
        return text, ""
    said = getattr(choice, "message", None) or choice.delta
    # `reasoning` is what vLLM calls it; others, and vLLM once, `reasoning_content`.
    reasoning = getattr(said, "reasoning", None) or getattr(said, "reasoning_content", None)
    return said.content or "", reasoning or ""


def _logprobs(choice: Any) -> list[float]:
    """The log-probabilities of its tokens, where they were asked for."""
    if (found := choice.logprobs) is None:
        return []
    if (of_tokens := getattr(found, "token_logprobs", None)) is not None:
        return [value for value in of_tokens if value is not None]
    return [token.logprob for token in found.content or ()]
