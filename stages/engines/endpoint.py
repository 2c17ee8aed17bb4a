"""Text from any server that speaks OpenAI's chat protocol: `vllm serve`, or a hosted model.

The client library sends a request until it is answered: with growing pauses after timeouts, lost
connections, 429 and 5xx, or as long as the server says in `Retry-After`. The server renders the
prompt and draws the tokens, so what a seed repeats is up to it, and what it was started with, such
as a template or a top_k that the model recommends, holds too.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from json import JSONDecodeError
from typing import Any

from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI, Timeout

from stages.engines import Completion, ModelConfig, Request
from stages.engines.chat import Answer, to_messages
from stages.engines.conversation import RequestError, failure
from stages.engines.loop import InFlight, Loop
from stages.engines.server import NO_KEY, Server

CONNECT_SECONDS = 10.0


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
        self.in_flight = InFlight[Completion](self.loop, self.arguments.max_concurrency)
        try:
            self.context_length = self.loop.submit(self._context_length()).result()
        except Exception:
            self.close()
            raise

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer requests as they finish; what is under way at a stop is dropped."""
        try:
            for future in self.in_flight.run(requests, self._answer, should_stop):
                yield future.result()
        finally:
            # The server sees the connection close, and gives the request up.
            self.in_flight.cancel()

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

    async def _context_length(self) -> int | None:
        """How many tokens the model takes, prompt included, where the server says so: vLLM does.

        It is the first thing asked of a server, so one that can't be reached is noticed here.
        """
        try:
            models: Any = await self.client.models.list()
        except (APIStatusError, JSONDecodeError):
            return None  # not every server has, or shows, a list; requests will tell
        except APIError as error:
            raise self.server.explain(error, {}) from error
        for model in getattr(models, "data", None) or ():
            if model.id == self.server.model:
                return getattr(model, "max_model_len", None)
        return None

    async def _answer(self, request: Request) -> Completion:
        settings = self._settings(request)
        answered_before = self.num_answered
        try:
            messages = await asyncio.get_running_loop().run_in_executor(
                self.rendering, to_messages, request.messages, request.images
            )
            answer = await self._ask(messages, settings, request.keep_going)
            self.num_answered += 1
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
        if self.arguments.return_token_ids:
            settings |= {"return_token_ids": True, "return_prompt_text": True}
        return settings | self.arguments.extra_body

    async def _ask(
        self,
        messages: list[dict[str, Any]],
        settings: dict[str, Any],
        keep_going: Callable[[int], bool] | None,
    ) -> Answer:
        ask: Any = partial(
            self.client.chat.completions.create,
            model=self.server.model,
            messages=messages,
            extra_body=settings,
        )
        if keep_going is None:
            answer = Answer()
            answer.add(await ask())
            self.server.check(answer)
            return answer
        for attempts_left in reversed(range(self.arguments.max_retries + 1)):
            stream = await ask(stream=True, stream_options={"include_usage": True})
            try:
                answer = await _listen(stream, keep_going)
            except APIError:
                # The library sends again what was not answered, but not what broke off.
                if not attempts_left:
                    raise
            else:
                self.server.check(answer)
                return answer
        raise AssertionError("the last attempt returns or raises")


async def _listen(stream: Any, keep_going: Callable[[int], bool]) -> Answer:
    """Read a stream to its end, or until it is not wanted any more."""
    answer = Answer()
    async with stream:
        async for chunk in stream:
            answer.add(chunk)
            if answer.finish_reason is None and not keep_going(answer.num_seen):
                answer.finish_reason = "pruned"
                return answer
    if answer.finish_reason is None:
        raise APIConnectionError(message="The answer broke off.", request=stream.response.request)
    return answer
