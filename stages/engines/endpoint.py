"""Text from any server that speaks OpenAI's chat protocol: `vllm serve`, or a hosted model.

The client library sends a request until it is answered: with growing pauses after timeouts, lost
connections, 429 and 5xx, or as long as the server says in `Retry-After`. The server renders the
prompt and draws the tokens, so what a seed repeats is up to it, and what it was started with, such
as a template or a top_k that the model recommends, holds too.

Where the server tells the tokens themselves, as vLLM's does, answers are streamed. What is under
way at a stop then comes out with its tokens, behind which the next attempt goes on (`behind.py`).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from json import JSONDecodeError
from typing import Any

from openai import APIError, APIStatusError, AsyncOpenAI, Timeout

from stages.engines import Completion, ModelConfig, Request
from stages.engines.behind import Behind, Continuing
from stages.engines.chat import UNFINISHED, Answer, to_messages
from stages.engines.conversation import RequestError, failure
from stages.engines.loop import InFlight, Loop
from stages.engines.server import NO_KEY, Server
from stages.engines.streams import Streams

CONNECT_SECONDS = 10.0
VLLM = "vllm"
"""Whom vLLM's server names as the owner of its models."""


class EndpointEngine:
    """Asks a server.

    Args:
        config: `path` is the model's name at the server; for `engine_args` see
            `stages.engines.server.Arguments`.

    Raises:
        ConfigError: no base_url is set, or an engine_arg is wrong.
        EngineError: the server can't be reached.
    """

    def __init__(
        self, config: ModelConfig, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.server = Server.of(config)
        self.arguments = self.server.arguments
        self.client = AsyncOpenAI(
            base_url=self.server.base_url,
            api_key=self.server.key or NO_KEY,
            max_retries=self.arguments.max_retries,
            timeout=Timeout(self.arguments.timeout_seconds, connect=CONNECT_SECONDS),
        )
        self.rendering = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        self.num_answered = 0
        self.loop = Loop("endpoint")
        self.in_flight = InFlight[Completion | None](self.loop, self.arguments.max_concurrency)
        self.continuing = Continuing(self.client, self.server)
        self.streams = Streams(self.arguments.max_retries)
        self.context_length: int | None = None
        self.tells_tokens = bool(self.arguments.return_token_ids)
        try:
            self.loop.submit(self._look_at_server()).result()
        except Exception:
            self.close()
            raise

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer requests as they finish; on a stop, hand out what there is of the others."""
        self.streams.is_stopping = False
        try:
            for future in self.in_flight.run(requests, self._answer, should_stop):
                if completion := future.result():
                    yield completion
            yield from self._cut_short()
        finally:
            # The server sees the connection close, and gives the request up.
            self.in_flight.cancel()

    def _cut_short(self) -> Iterator[Completion]:
        """End what is streamed, and hand out the tokens there are."""
        self.loop.submit(self.streams.end()).result()
        for future in [future for future in self.in_flight.futures if future.done()]:
            self.in_flight.futures.remove(future)
            if future.exception() is None and (completion := future.result()):
                yield completion

    def figures(self) -> dict[str, float]:
        """Requests that the server has."""
        return {"running": len(self.in_flight.futures)}

    def close(self) -> None:
        """Hang up."""

        async def hang_up() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.client.close()

        self.loop.submit(hang_up()).result()
        self.loop.close()
        self.rendering.shutdown()

    async def _look_at_server(self) -> None:
        """See what the server says of its model: vLLM's, how many tokens it takes.

        It is the first thing asked of a server, so one that can't be reached is noticed here.
        """
        try:
            models: Any = await self.client.models.list()
        except (APIStatusError, JSONDecodeError):
            return  # not every server has, or shows, a list; requests will tell
        except APIError as error:
            raise self.server.explain(error, {}) from error
        for model in getattr(models, "data", None) or ():
            if model.id == self.server.model:
                self.context_length = getattr(model, "max_model_len", None)
                if self.arguments.return_token_ids is None:
                    self.tells_tokens = getattr(model, "owned_by", None) == VLLM

    async def _answer(self, request: Request) -> Completion | None:
        """None where everything stopped before there was a token."""
        settings = self._settings(request)
        answered_before = self.num_answered
        try:
            messages = await asyncio.get_running_loop().run_in_executor(
                self.rendering, to_messages, request.messages, request.images
            )
            answer = await self._ask(request, messages, settings)
            self.num_answered += 1
            if answer.finish_reason == UNFINISHED and not answer.token_ids:
                return None
            return answer.completion(request)
        except RequestError as error:
            return failure(request, error)
        except JSONDecodeError as error:
            raise self.server.talks_nonsense() from error
        except APIError as error:
            explained = self.server.explain(
                error,
                settings,
                with_images=bool(request.images),
                serves_others=self.num_answered > answered_before,
            )
            if isinstance(explained, RequestError):
                return failure(request, explained)
            raise explained from error

    def _settings(self, request: Request) -> dict[str, Any]:
        """The parameters of a request beside its messages.

        vLLM and OpenAI take `max_completion_tokens`, OpenAI's reasoning models nothing else; for a
        server that only knows `max_tokens`, set that in extra_body. Both take seeds of 63 bits.
        """
        sampling = request.sampling
        settings: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            # More than the context length would be refused, prompt or no prompt.
            "max_completion_tokens": min(
                sampling.max_tokens, self.context_length or sampling.max_tokens
            ),
            "seed": request.seed,
            "n": 1,
        }
        if self.arguments.logprobs:
            settings["logprobs"] = True
        if self.tells_tokens:
            settings |= {"return_token_ids": True, "return_prompt_text": True}
            settings["stream_interval"] = self.arguments.stream_interval
        return settings | self.arguments.extra_body

    async def _ask(
        self, request: Request, messages: list[dict[str, Any]], settings: dict[str, Any]
    ) -> Answer:
        if self.tells_tokens and request.prefix is not None:
            behind = await self.continuing.behind(request, messages, settings, self.context_length)
            if behind is not None:
                return await self._go_on(request, behind)
        create: Any = partial(
            self.client.chat.completions.create,
            model=self.server.model,
            messages=messages,
            extra_body=settings,
        )
        if request.keep_going is None and not self.tells_tokens:
            answer = Answer()
            answer.add(await create())
        else:
            answer = await self.streams.answer(request, create, Answer)
        self.server.check(answer)
        return answer

    async def _go_on(self, request: Request, behind: Behind) -> Answer:
        begin = partial(behind.begin, has_logprobs=self.arguments.logprobs)
        answer = await self.streams.answer(request, behind.create, begin)
        self.server.check(answer)
        if not answer.is_cut_short:
            await self.continuing.finish(answer, behind)
        return answer
