"""Text from vLLM: continuous batching, every completion as soon as it is there.

vLLM's engine runs in processes of its own, fed by an event loop in a thread of this one. Images are
decoded in other processes and resized in threads while the engine computes, nothing here ever waits
for the engine without looking at `should_stop`, and when the engine's processes end their memory is
free again. On a stop what is under way is aborted and its tokens are kept: the next attempt goes on
behind them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from data.errors import EngineError
from stages.engines import Completion, ModelConfig, Prefix, Request
from stages.engines.checkpoints import open_checkpoint, reason
from stages.engines.conversation import RequestError, failure
from stages.engines.decoding import Decoder
from stages.engines.loop import POLL_SECONDS, InFlight
from stages.engines.rendering import Prompt, Renderer
from stages.engines.vllm_figures import Figures
from stages.engines.vllm_start import (
    RequestOutputKind,
    SamplingParams,
    VLLMClientError,
    child_processes,
    guarded,
    own_loop,
    start,
)
from stages.seeds import seed_for

SHUTDOWN_SECONDS = 1.0
"""After that long the engine's processes are killed: they don't hear signals that ask them to end,
and have nothing left to do."""
GRACE_SECONDS = 2.0
"""A signal may end the engine's processes this long before we hear of it."""
ABORT_SECONDS = 20.0
"""What is under way at a stop has this long to come out with its tokens."""
STREAM_INTERVAL = 64
"""Tokens from one question whether to keep going to the next."""


class VllmEngine:
    """Runs a model with vLLM.

    Args:
        config: `engine_args` go to vLLM and win over what is set here.
        should_stop: starting takes minutes with a large model; it is given up when this turns true.

    Raises:
        ConfigError: vLLM doesn't know one of the engine_args.
        InputError: there is no such model.
        EngineError: vLLM can't start.
        Stopped: it was given up.
    """

    def __init__(
        self, config: ModelConfig, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.checkpoint = open_checkpoint(config.path or "")
        self.decoder = Decoder()
        self.renderer = Renderer(self.checkpoint, self.decoder.open)
        # One thread: rendering keeps its order and remembers the last prompt.
        self.rendering = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        self.newest = Figures()
        others = child_processes()
        self.loop = own_loop()
        try:
            self.engine = start(self.loop, self.checkpoint, config, self.newest, should_stop)
        except Exception:
            self.loop.close()
            self.rendering.shutdown()
            self.decoder.close()
            raise
        self.guard = guarded(others)
        self.in_engine: set[str] = set()
        self.is_stopping = False
        self.max_in_flight = 2 * self.engine.scheduler_config.max_num_seqs

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer requests as they finish, with enough under way to keep the engine full."""
        in_flight = InFlight[Completion | None](self.loop, self.max_in_flight)
        self.is_stopping = False
        try:
            for future in in_flight.run(requests, self._answer, should_stop):
                if completion := _result(future, should_stop):
                    yield completion
            yield from self._abort(in_flight.futures)
        except _Abandoned:
            return
        finally:
            in_flight.cancel()

    def _abort(self, under_way: set[Future[Completion | None]]) -> Iterator[Completion]:
        """End everything, and hand out what there is of it."""
        self.is_stopping = True
        with contextlib.suppress(Exception):  # a dead engine's tokens so far are in this process
            self.loop.submit(self.engine.abort(list(self.in_engine))).result(ABORT_SECONDS)
        for future in wait(under_way, ABORT_SECONDS).done:
            under_way.remove(future)
            if future.exception() is None and (completion := future.result()):
                yield completion

    def figures(self) -> dict[str, float]:
        """Requests running and waiting, and the hit rate of the prefix cache."""
        return self.newest.newest()

    def close(self) -> None:
        """End the engine's processes."""

        async def shut_down() -> None:
            self.engine.shutdown(timeout=SHUTDOWN_SECONDS)

        self.loop.submit(shut_down()).result()
        self.guard.kill()
        self.guard.wait()
        self.loop.close()
        self.rendering.shutdown()
        self.decoder.close()
        del self.engine

    async def _answer(self, request: Request) -> Completion | None:
        """None where everything stopped before there was a token."""
        try:
            try:
                return await self._write(request, *await self._prepare(request))
            except _Unseen:
                return await self._write(request, *await self._prepare(request, resend=True))
        except RequestError as error:
            return failure(request, error)
        except _GivenUp:
            return None

    async def _prepare(self, request: Request, resend: bool = False) -> tuple[Prompt, Any]:
        """Make a request into what the engine takes: images that it has seen by name alone.

        Args:
            request: what is asked.
            resend: send the pixels even so.
        """
        loop = asyncio.get_running_loop()
        images = () if self.renderer.known(request) else request.images
        self.decoder.expect(images)
        try:
            prompt = await loop.run_in_executor(self.rendering, self._prompt, request)
        finally:
            self.decoder.release(images)
        # vLLM checks this too, but calls it by another name.
        self._max_tokens(request, len(prompt.token_ids))
        engine_prompt: dict[str, Any] = {"prompt_token_ids": prompt.token_ids}
        if prompt.images:
            engine_prompt["multi_modal_data"] = {"image": prompt.images}
            # Spares the hashing of pixels, by which images are found in the engine's caches.
            engine_prompt["multi_modal_uuids"] = {"image": prompt.image_digests}
        try:
            (engine_input,) = await self.engine.renderer.render_cmpl_async(
                [engine_prompt], skip_mm_cache=resend
            )
        except Exception as error:  # whatever a processor raises is about its input
            raise prompt.rejected(error) from error
        return prompt, engine_input

    def _prompt(self, request: Request) -> Prompt:
        if self.is_stopping:  # a queue of images takes longer than a stop may
            raise _GivenUp
        return self.renderer.prompt(request)

    async def _write(
        self, request: Request, prompt: Prompt, engine_input: Any
    ) -> Completion | None:
        """Generate, behind the request's prefix where it has one."""
        max_tokens = self._max_tokens(request, len(engine_input["prompt_token_ids"]))
        before, logprob = _usable(request.prefix, max_tokens)
        engine_input["prompt_token_ids"] = [*engine_input["prompt_token_ids"], *before]
        token_ids, finish_reason = list(before), "abort"
        name = str(request.id)
        try:
            parameters = self._parameters(request, max_tokens - len(before), len(before))
            if self.is_stopping:
                return None
            self.in_engine.add(name)
            async for output in self.engine.generate(engine_input, parameters, name):
                answer = output.outputs[0]
                token_ids += answer.token_ids
                finish_reason = answer.finish_reason
                if finish_reason is None and not _keeps_going(request, len(token_ids)):
                    await self.engine.abort(name)
        except VLLMClientError as error:
            raise RequestError("request", reason(error)) from error
        finally:
            self.in_engine.discard(name)
        logprob += answer.cumulative_logprob or 0.0
        if finish_reason in ("stop", "length"):
            return self.renderer.completion(request, prompt, token_ids, logprob)
        if finish_reason == "error" and request.images:
            raise _Unseen
        if finish_reason != "abort":
            raise RuntimeError(f"a completion ended with {finish_reason}")
        if self.is_stopping and not token_ids:
            return None
        return Completion(
            id=request.id,
            token_ids=token_ids,
            logprob=logprob,
            finish_reason="unfinished" if self.is_stopping else "pruned",
        )

    def _parameters(self, request: Request, max_tokens: int, num_before: int) -> Any:
        watched = request.keep_going is not None
        return SamplingParams(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=max_tokens,
            # Behind a prefix the random numbers must not be those that the prefix was drawn with.
            seed=seed_for(request.seed, "behind", num_before) if num_before else request.seed,
            stop_token_ids=sorted(self.checkpoint.end_token_ids),
            logprobs=0,
            flat_logprobs=True,
            # Text is made at the end, as for every engine.
            detokenize=False,
            output_kind=RequestOutputKind.DELTA if watched else RequestOutputKind.FINAL_ONLY,
            stream_interval=STREAM_INTERVAL if watched else None,
        )

    def _max_tokens(self, request: Request, prompt_tokens: int) -> int:
        limit = self.engine.model_config.max_model_len
        return self.renderer.max_tokens(request, prompt_tokens, limit)


def _usable(prefix: Prefix | None, max_tokens: int) -> tuple[Sequence[int], float]:
    """The tokens to go on behind and their log-probability; none where they leave no room."""
    if prefix is None or len(prefix.token_ids) >= max_tokens:
        return (), 0.0
    return prefix.token_ids, prefix.logprob


def _keeps_going(request: Request, num_tokens: int) -> bool:
    return request.keep_going is None or request.keep_going(num_tokens)


class _Unseen(Exception):
    """The engine lacks an image that vLLM took it to have seen.

    That happens where the request which brought the image was refused, or overtaken.
    """


class _GivenUp(Exception):
    """Everything is to stop before this request was asked."""


class _Abandoned(Exception):
    """The engine went down because everything is to stop."""


def _result(
    future: Future[Completion | None], should_stop: Callable[[], bool]
) -> Completion | None:
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
