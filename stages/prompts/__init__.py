r"""What the models are asked, and the conversations built from it: one text file per prompt.

Training, evaluation and on-policy rollouts use the same `answer_messages`, so that a policy is
asked at the end what it was trained on. To change a prompt, name another file in the
configuration; `{{question}}`, `{{caption}}` and `{{thinking}}` stand for the row's own text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import ConfigError
from data.world import resolve
from stages.engines import Message

PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
MENTION = re.compile(r"<image (\d+)>")


def load_prompt(name: str) -> str:
    """The text of a prompt, without surrounding blank lines.

    Args:
        name: a built-in prompt (`caption`, `reason`, `slow_thinking`, `judge`), a file of the
            built-in world (`world:prompts/caption.txt`), or the path of a text file.

    Raises:
        ConfigError: there is no such prompt.
    """
    built_in = Path(__file__).parent / f"{name}.txt"
    path = built_in if built_in.is_file() else Path(resolve(name))
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in built_in.parent.glob("*.txt")))
        raise ConfigError(
            f"There is no prompt {name!r}.",
            f"Use one of the built-in prompts ({known}) or the path of a text file.",
        )
    return path.read_text(encoding="utf-8").strip()


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values in place of `{{name}}`, once: a value that looks like a placeholder stays."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def question_text(sample: Mapping[str, Any]) -> str:
    """Hint, question and lettered options, as the models read them.

    The options are left out when the question already lists them with their letters.
    """
    parts = [sample["hint"]] if sample.get("hint") else []
    question, choices = sample["question"] or "", sample.get("choices") or []
    parts.append(question)
    if not all(_lists_option(question, i, choice) for i, choice in enumerate(choices)):
        parts.append("\n".join(f"{chr(65 + i)}. {choice}" for i, choice in enumerate(choices)))
    return "\n".join(parts)


def _lists_option(question: str, index: int, choice: str) -> bool:
    return re.search(rf"\b{chr(65 + index)}[).:]?\s*{re.escape(choice)}", question) is not None


def caption_messages(sample: Mapping[str, Any], prompt: str) -> list[Message]:
    """Ask for a description of the sample's images. The question is never shown (Appendix E)."""
    return [_user(sample, prompt)]


def reason_messages(sample: Mapping[str, Any], caption: str, prompt: str) -> list[Message]:
    """Ask the text-only reasoner the question, with a caption in place of the images."""
    text = fill(prompt, {"question": question_text(sample), "caption": caption})
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


def answer_messages(sample: Mapping[str, Any], system: str | None) -> list[Message]:
    """Ask the policy the question with its images.

    Args:
        sample: a row of `samples`.
        system: the system prompt; None: the model's own default.
    """
    messages = [_user(sample, question_text(sample))]
    if system:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    return messages


def judge_messages(
    sample: Mapping[str, Any], thinking: str, prompt: str, *, with_images: bool
) -> list[Message]:
    """Ask for a score of somebody's thinking about the question; its answer is not shown."""
    return [_user(sample if with_images else {}, judge_text(sample, thinking, prompt))]


def judge_text(sample: Mapping[str, Any], thinking: str, prompt: str) -> str:
    """What a judge is asked, images aside."""
    return fill(prompt, {"question": question_text(sample), "thinking": thinking})


def _user(sample: Mapping[str, Any], text: str) -> Message:
    """The sample's images, and the text; an image stands where the text has its `<image n>`.

    Images that the text doesn't mention come first. Models are given the images in the sample's
    order, so where the text mentions them in another one, all come first and the text stays.
    """
    number = len(sample.get("images") or [])
    mentioned = list(dict.fromkeys(int(found) for found in MENTION.findall(text)))
    if mentioned != list(range(number - len(mentioned) + 1, number + 1)):
        mentioned = []
    content: list[dict[str, Any]] = [{"type": "image"}] * (number - len(mentioned))
    for image in mentioned:
        before, _, text = text.partition(f"<image {image}>")
        content += [{"type": "text", "text": before}] if before.strip() else []
        content.append({"type": "image"})
    if text.strip() or not mentioned:
        content.append({"type": "text", "text": text})
    return {"role": "user", "content": content}
