"""Answers that go on behind what an earlier attempt has of them, on vLLM's server.

OpenAI's chat protocol begins answers and can't go on with one. But vLLM's `/v1/completions` goes on
behind any tokens: those of the prompt, as the server itself rendered it, and those of the answer so
far. What was written then is text of all the tokens together, as `/detokenize` has it.

A prompt with images can't be given as tokens. There the text so far is sent as the beginning of the
assistant's turn (`continue_final_message`), and the prompt that the server makes of it has to end
with it: some templates take thinking out of what the assistant said.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from openai import APIStatusError, AsyncOpenAI

from stages.engines import Prefix, Request
from stages.engines.chat import Answer
from stages.engines.conversation import opened_thinking
from stages.engines.server import Server
from stages.seeds import seed_for

MARKER = re.compile(r"\s*<\|")
"""How an answer begins whose thinking stands in a channel of its own: its raw text is not what the
server would have made of it."""
PREFILL_TOKENS = 16
"""From the end of a prompt, where a template opens the thinking."""
BROKEN = "\ufffd"
"""What bytes that are no character become, which text can't say again."""


@dataclass(frozen=True, kw_only=True)
class Behind:
    """How to ask for the rest of an answer."""

    create: Any
    """Asks, as the client library does."""
    prefix: Prefix
    prefill: str | None

    def begin(self, *, has_logprobs: bool) -> Answer:
        """What there is of the answer."""
        return Answer(
            token_ids=list(self.prefix.token_ids),
            logprob=self.prefix.logprob if has_logprobs else None,
            num_seen=len(self.prefix.token_ids),
        )


class Continuing:
    """Goes on with answers on one server.

    Args:
        client: the connection.
        server: which it is.
    """

    def __init__(self, client: AsyncOpenAI, server: Server) -> None:
        self.client = client
        self.server = server
        self.root = server.base_url.rstrip("/").removesuffix("/v1")

    async def behind(
        self,
        request: Request,
        messages: list[dict[str, Any]],
        settings: dict[str, Any],
        context_length: int | None,
    ) -> Behind | None:
        """How to go on behind a request's prefix; None where it has to begin anew.

        Args:
            request: what is asked.
            messages: its conversation as the server takes it.
            settings: the parameters with which it would begin.
            context_length: how many tokens the model takes, where that is known.
        """
        prefix = request.prefix
        if prefix is None or len(prefix.token_ids) >= request.sampling.max_tokens:
            return None
        num_before = len(prefix.token_ids)
        # Behind a prefix the random numbers must not be those that the prefix was drawn with.
        settings = settings | {"seed": seed_for(request.seed, "behind", num_before)}
        try:
            begun = await self.text(prefix.token_ids)
            prompt = list((await self._shown(messages, settings)).prompt_token_ids)
            prefill = opened_thinking(await self.text(prompt[-PREFILL_TOKENS:]))
            left = settings["max_completion_tokens"] - num_before
            if context_length is not None:
                left = min(left, context_length - len(prompt) - num_before)
            if left <= 0 or MARKER.match(begun):
                return None
            if request.images:
                opening = (prefill or "") + begun
                create = await self._behind_text(messages, opening, settings, left)
            else:
                create = self._behind_tokens([*prompt, *prefix.token_ids], settings, left)
        except APIStatusError:
            return None  # the server lacks what this takes, or rejects the request: it will say so
        return Behind(create=create, prefix=prefix, prefill=prefill) if create else None

    def _behind_tokens(self, tokens: list[int], settings: dict[str, Any], left: int) -> Any:
        logprobs = {"logprobs": 0} if "logprobs" in settings else {}
        body = settings | {"max_tokens": left} | logprobs
        del body["max_completion_tokens"]
        return partial(
            self.client.completions.create, model=self.server.model, prompt=tokens, extra_body=body
        )

    async def _behind_text(
        self, messages: list[dict[str, Any]], opening: str, settings: dict[str, Any], left: int
    ) -> Any:
        """None where the server would go on behind something else."""
        asked = [*messages, {"role": "assistant", "content": opening}]
        body = settings | {"continue_final_message": True, "add_generation_prompt": False}
        prompt = getattr(await self._shown(asked, body), "prompt_text", None) or ""
        if BROKEN in opening or not prompt.endswith(opening):
            return None
        return partial(
            self.client.chat.completions.create,
            model=self.server.model,
            messages=asked,
            extra_body=body | {"max_completion_tokens": left},
        )

    async def finish(self, answer: Answer, behind: Behind) -> None:
        """Say the text of an answer that went on to its end."""
        token_ids = answer.token_ids or []
        ended = answer.finish_reason == "stop" and not isinstance(answer.stop_reason, str)
        text = await self.text(token_ids[:-1] if ended else token_ids)
        answer.put_together = text, behind.prefill

    async def text(self, token_ids: Any) -> str:
        """The text of some tokens."""
        found: Any = await self.client.post(
            f"{self.root}/detokenize",
            cast_to=object,
            body={"model": self.server.model, "tokens": list(token_ids)},
        )
        return str(found["prompt"])

    async def _shown(self, messages: list[dict[str, Any]], settings: dict[str, Any]) -> Any:
        """A response that shows a conversation's prompt, as the server renders it.

        Its answer is as short as can be, and what was computed for it stays in the server's cache.
        """
        return await self.client.chat.completions.create(
            model=self.server.model,
            messages=messages,  # type: ignore[arg-type]
            extra_body=settings | {"max_completion_tokens": 1},
        )
