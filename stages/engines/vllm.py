"""Text from vLLM: continuous batching, every completion as soon as it is there.

vLLM's engine runs in processes of its own, fed by an event loop in a thread of this one. Images are
prepared in threads while the engine computes, nothing here ever waits for the engine without
looking at `should_stop`, and when the engine's processes end their memory is free again.
"""

import asyncio
import contextlib
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from data.errors import EngineError
from stages.engines import Completion, ModelConfig, Request
from stages.engines.checkpoints import open_checkpoint, reason
from stages.engines.conversation import RequestError, failure
from stages.engines.rendering import Prompt, Renderer
from stages.engines.vllm_start import (
    RequestOutputKind,
    SamplingParams,
    VLLMClientError,
    own_loop,
    start,
)

POLL_SECONDS = 0.2
"""How soon a stop is noticed."""
SHUTDOWN_SECONDS = 10.0
"""After that long the engine's processes are killed."""
GRACE_SECONDS = 2.0
"""A signal may end the engine's processes this long before we hear of it."""


class VllmEngine:
    """Runs a model with vLLM.

    Args:
        config: `engine_args` go to vLLM and win over what is set here.

    Raises:
        ConfigError: vLLM doesn't know one of the engine_args.
        InputError: there is no such model.
        EngineError: vLLM can't start.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.checkpoint = open_checkpoint(config.path or "")
        self.renderer = Renderer(self.checkpoint)
        # One thread: rendering keeps its order and remembers the last prompt.
        self.rendering = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        self.loop = own_loop()
        try:
            self.engine = start(self.loop, self.checkpoint, config)
        except Exception:
            self.loop.close()
            raise
        self.max_in_flight = 2 * self.engine.scheduler_config.max_num_seqs

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer requests as they finish, with enough under way to keep the engine full."""
        source = iter(requests)
        exhausted = False
        under_way: set[Future[Completion]] = set()
        finished: queue.SimpleQueue[Future[Completion]] = queue.SimpleQueue()
        try:
            while not should_stop():
                while not exhausted and len(under_way) < self.max_in_flight:
                    if (request := next(source, None)) is None:
                        exhausted = True
                        break
                    future = self.loop.submit(self._answer(request))
                    under_way.add(future)
                    future.add_done_callback(finished.put)
                if not under_way:
                    return
                with contextlib.suppress(queue.Empty):
                    future = finished.get(timeout=POLL_SECONDS)
                    under_way.remove(future)
                    yield _result(future, should_stop)
        except _Abandoned:
            return
        finally:
            for future in under_way:
                future.cancel()

    def close(self) -> None:
        """End the engine's processes."""

        async def shut_down() -> None:
            self.engine.shutdown(timeout=SHUTDOWN_SECONDS)

        self.loop.submit(shut_down()).result()
        self.loop.close()
        self.rendering.shutdown()
        del self.engine

    async def _answer(self, request: Request) -> Completion:
        try:
            prompt, engine_input = await self._prepare(request)
            return await self._write(request, prompt, engine_input)
        except RequestError as error:
            return failure(request, error)

    async def _prepare(self, request: Request) -> tuple[Prompt, Any]:
        """Make a request into what the engine takes, images included."""
        loop = asyncio.get_running_loop()
        prompt = await loop.run_in_executor(self.rendering, self.renderer.prompt, request)
        # vLLM checks this too, but calls it by another name.
        self._max_tokens(request, len(prompt.token_ids))
        engine_prompt: dict[str, Any] = {"prompt_token_ids": prompt.token_ids}
        if prompt.images:
            engine_prompt["multi_modal_data"] = {"image": prompt.images}
            # Spares the hashing of pixels, by which images are found in the engine's caches.
            engine_prompt["multi_modal_uuids"] = {"image": prompt.image_digests}
        try:
            # The cache skipped is the one of what the engine has seen, which is wrong as soon as
            # requests overtake each other; what was prepared is still found again.
            (engine_input,) = await self.engine.renderer.render_cmpl_async(
                [engine_prompt], skip_mm_cache=True
            )
        except Exception as error:  # whatever a processor raises is about its input
            raise prompt.rejected(error) from error
        return prompt, engine_input

    async def _write(self, request: Request, prompt: Prompt, engine_input: Any) -> Completion:
        max_tokens = self._max_tokens(request, len(engine_input["prompt_token_ids"]))
        try:
            parameters = self._parameters(request, max_tokens)
            async for output in self.engine.generate(engine_input, parameters, str(request.id)):
                answer = output.outputs[0]
        except VLLMClientError as error:
            raise RequestError("request", reason(error)) from error
        if answer.finish_reason not in ("stop", "length"):
            raise RuntimeError(f"a completion ended with {answer.finish_reason}")
        return self.renderer.completion(
            request, prompt, answer.token_ids, answer.cumulative_logprob
        )

    def _parameters(self, request: Request, max_tokens: int) -> Any:
        return SamplingParams(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=max_tokens,
            seed=request.seed,
            stop_token_ids=sorted(self.checkpoint.end_token_ids),
            logprobs=0,
            flat_logprobs=True,
            # All at once at the end, as for every engine.
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _max_tokens(self, request: Request, prompt_tokens: int) -> int:
        limit = self.engine.model_config.max_model_len
        return self.renderer.max_tokens(request, prompt_tokens, limit)


class _Abandoned(Exception):
    """The engine went down because everything is to stop."""


def _result(future: Future[Completion], should_stop: Callable[[], bool]) -> Completion:
    try:
        return future.result()
    except Exception as error:
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            if should_stop():
                raise _Abandoned from error
            time.sleep(POLL_SECONDS)
        raise EngineError(
            f"vLLM failed: {reason(error)}", "What it logged says more; the same command continues."
        ) from error
