"""Rows into tokens: the policy's own prompt, then the response with its end of turn.

The prompt is rendered as for generation, and the response put behind it byte for byte: a training
template that renders both would rewrite the thinking of some models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from data.images import ImageError, open_image
from stages.engines import Message
from stages.engines.checkpoints import open_checkpoint
from stages.engines.conversation import THINK_PREFILL
from stages.prompts import answer_messages
from stages.training.special_tokens import (
    control_ids,
    end_of_turn,
    placeholder_ids,
    placeholder_texts,
)
from stages.trust import Group

THINK = "<think>"
UNREADABLE = "an image can't be read"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One conversation to learn from, before it is tokens."""

    sample: Mapping[str, Any]
    """Question, hint, choices and images, as in the table `samples`."""
    response: str
    reward: float = 1.0
    token_ids: Sequence[int] | None = None
    """The policy's own tokens of the response, end of turn included; None: tokenise the text."""
    finished: bool = True
    """Whether the response ended by itself, so that its end of turn is to be learnt too."""
    system: str | None = None
    """System prompt; None: chosen by whether the response thinks."""
    key: str = ""
    """What the row is called in messages."""
    behavior_logprob: float | None = None
    """log mu(y), the log-probability under the model that wrote it; None: not known."""
    advantage: float | None = None
    """GRPO's."""
    group: Group | None = None
    """The on-policy rollouts it is one of; None: it is of no group."""
    place: int = 0
    """Which one of them."""

    @property
    def is_own(self) -> bool:
        """Whether the policy itself wrote it, always under the system prompt."""
        return self.token_ids is not None or self.group is not None


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A row that can be trained on."""

    prompt_ids: Sequence[int]
    """Placeholders expanded: one for each image feature."""
    response_ids: Sequence[int]
    num_image_tokens: int
    """How many of the prompt's there are in place of image features."""


class Renderer:
    """Renders examples with a policy's own processor.

    Args:
        folder: the policy.
        max_length: longest row, in tokens.
        system: the system prompt of responses that think.
    """

    def __init__(self, folder: Path, max_length: int, system: str) -> None:
        checkpoint = open_checkpoint(str(folder))
        self.processor = checkpoint.processor
        self.tokenizer = checkpoint.tokenizer
        self.max_length = max_length
        self.system = system
        self.stops = checkpoint.end_token_ids
        self.end_of_turn = end_of_turn(self.processor, self.stops)
        self.control = control_ids(self.tokenizer)
        self.forbidden = frozenset(placeholder_ids(self.processor, folder))
        self.placeholders = placeholder_texts(self.processor, self.forbidden)
        self._newest: tuple[str, Sequence[bytes], Sequence[int]] | None = None

    def render(self, example: Example) -> Tokens | str:
        """Tokens of an example, or the reason why it is rejected."""
        is_asked_to_think = example.is_own or THINK in example.response
        system = example.system or (self.system if is_asked_to_think else None)
        messages = answer_messages(example.sample, system)
        if reason := self.unusable_text(messages, example.response):
            return reason
        try:
            images = [read_image(row) for row in example.sample.get("images") or []]
            text: str = self.processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        except ImageError:
            return UNREADABLE
        except TemplateError:
            return "the chat template rejects the conversation"
        if text.count(self.processor.image_token) != len(images):
            return "the chat template does not write a placeholder for each image"
        text, response = split_prefill(text, example.response)
        response_ids = self.response_ids(example, response)
        if isinstance(response_ids, str):
            return response_ids
        try:
            prompt_ids = self.prompt_ids(text, images)
        except ImageError:
            return UNREADABLE
        except ValueError:  # such as an image that is too narrow for Qwen-VL
            return "the processor rejects the prompt"
        if len(prompt_ids) + len(response_ids) > self.max_length:
            return "longer than max_length"
        return Tokens(
            prompt_ids=prompt_ids,
            response_ids=response_ids,
            num_image_tokens=prompt_ids.count(self.processor.image_token_id),
        )

    def unusable_text(self, messages: Sequence[Message], response: str) -> str | None:
        """Why the text of a conversation can't be tokens; None: it can.

        Processors would expand what stands for an image as if there were one more.
        """
        asked = [part.get("text", "") for turn in messages for part in turn["content"]]
        if any(placeholder in text for text in asked for placeholder in self.placeholders):
            return "the prompt's text holds an image token"
        try:
            "".join([*asked, response]).encode()
        except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can say
            return "the text is no Unicode"
        return None

    def prompt_ids(self, text: str, images: Sequence[bytes]) -> Sequence[int]:
        """Token ids of a rendered prompt, with its placeholders expanded.

        Those of the newest one are kept: rollouts of a question follow each other.

        Raises:
            ImageError: an image can't be used.
            ValueError: the processor rejects the prompt.
        """
        if self._newest is None or self._newest[:2] != (text, images):
            opened = [open_image(image) for image in images]
            # As the engines do: templates write the special tokens themselves.
            inputs = self.processor(text=[text], images=opened or None, add_special_tokens=False)
            self._newest = text, images, list(map(int, inputs["input_ids"][0]))
        return self._newest[2]

    def response_ids(self, example: Example, response: str) -> list[int] | str:
        """Token ids of a response with its end of turn, or why they can't be trained on.

        A text must not spell control tokens. Those that the policy itself sampled stay: rewards
        can speak against them.
        """
        spelt: list[int] = []
        if example.token_ids is not None:
            ids = list(example.token_ids)
        else:
            ids = spelt = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        if not ids:
            return "the response is empty"
        if self.forbidden.intersection(ids):
            return "the response holds an image token"
        if self.stops.intersection(spelt or ids[:-1]):
            return "the response holds an end of turn"
        if self.control.intersection(spelt):
            return "the response holds a control token"
        if spelt and example.finished:
            ids = [*spelt, self.end_of_turn]
        if min(ids) < 0 or max(ids) >= len(self.tokenizer):
            return "the response holds tokens that the policy does not have"
        return ids


def read_image(image: Mapping[str, Any]) -> bytes:
    """The encoded bytes of a sample's image, which may lie in a file.

    Raises:
        ImageError: there are none.
    """
    encoded, path = image.get("bytes"), image.get("path")
    if isinstance(encoded, bytes) and encoded:
        return encoded
    if not isinstance(path, str) or not path:
        raise ImageError("it has neither bytes nor a path")
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # a path that holds a null byte is a ValueError
        raise ImageError(str(error)) from error


def split_prefill(text: str, response: str) -> tuple[str, str]:
    """Have the opening `<think>` once where the template has written it into the prompt too.

    It stays in the prompt, out of the loss, when the response begins with just that; else, so when
    the response does not think, it leaves the prompt.

    Args:
        text: a prompt rendered for generation.
        response: the whole response.

    Returns:
        The prompt, and the part of the response that follows it.
    """
    if (prefill := THINK_PREFILL.search(text)) is None:
        return text, response
    if response.startswith(prefill.group()):
        return text, response.removeprefix(prefill.group())
    return text[: prefill.start()], response
