"""Requests to ask an engine, and what the model itself says of the answers."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from stages.engines import Completion, Engine, Request, Sampling
from tests.tiny_models import CONTEXT_LENGTH

END_TURN = 2


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


def ask(
    request_id: Any,
    text: str = "How many?",
    *,
    images: Sequence[bytes] = (),
    seed: int | None = None,
    group: Any = None,
    **sampling: Any,
) -> Request:
    """Sampled with the id as the seed, 40 tokens at most, unless said otherwise."""
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": text}]
    return Request(
        id=request_id,
        messages=[{"role": "user", "content": parts}],
        images=images,
        sampling=Sampling(**{"max_tokens": 40} | sampling),
        seed=int(request_id) if seed is None else seed,
        group=group,
    )


def answers(engine: Engine, requests: Iterable[Request]) -> dict[Any, Completion]:
    """All completions by id; each has to be there once."""
    requests = list(requests)
    completions = list(engine.generate(requests, lambda: False))
    by_id = {completion.id: completion for completion in completions}
    assert len(completions) == len(requests) == len(by_id)
    return by_id


class Model:
    """The model of an engine, run without it."""

    def __init__(self, path: Path, *, multimodal: bool) -> None:
        kind = AutoModelForImageTextToText if multimodal else AutoModelForCausalLM
        self.model = kind.from_pretrained(path, dtype="float32").eval()
        self.processor = (AutoProcessor if multimodal else AutoTokenizer).from_pretrained(path)
        self.multimodal = multimodal

    @torch.no_grad()
    def logprobs(self, request: Request, token_ids: Sequence[int]) -> torch.Tensor:
        """[tokens + 1, vocabulary]: log-probabilities of each next token."""
        messages = list(request.messages)
        if not self.multimodal:
            messages = [{"role": "user", "content": messages[0]["content"][0]["text"]}]
        text = self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        images = {"images": [Image.open(io.BytesIO(image)) for image in request.images]}
        inputs = self.processor(text=text, return_tensors="pt", **images if request.images else {})
        num_prompt = inputs["input_ids"].shape[1]
        tokens = torch.tensor([list(token_ids)], dtype=torch.long)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], tokens], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        logits = self.model(**inputs).logits[0, num_prompt - 1 :]
        return torch.log_softmax(logits, dim=-1)

    def logprob(self, request: Request, token_ids: Sequence[int]) -> float:
        """What `Completion.logprob` has to be."""
        logprobs = self.logprobs(request, token_ids)[:-1]
        return float(logprobs.gather(1, torch.tensor([list(token_ids)]).T).sum())


TOO_LONG = "word " * CONTEXT_LENGTH
