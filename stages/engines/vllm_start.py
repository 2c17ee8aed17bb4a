"""How vLLM is started: its environment, its settings, the thread and processes it runs in.

Import vLLM's names from here, for its environment has to be there before it is imported.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import wait
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import psutil

from data.errors import ConfigError, EngineError, Stopped
from stages.engines import ModelConfig
from stages.engines.checkpoints import Checkpoint, reason
from stages.engines.loop import POLL_SECONDS, Loop

os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

try:
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.exceptions import VLLMClientError
    from vllm.platforms import current_platform
    from vllm.sampling_params import RequestOutputKind
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM
except ImportError as error:
    raise ConfigError(
        f"The vllm engine can't be imported: {error}.",
        "Install it in sophia's folder: pip install '.[vllm]'",
    ) from error

__all__ = [
    "RequestOutputKind",
    "SamplingParams",
    "VLLMClientError",
    "child_processes",
    "guarded",
    "own_loop",
    "start",
]

MAX_IMAGES = 16
"""Images of one prompt; vLLM plans its memory for this many."""
CPU_CACHE_BYTES = 4 << 30
"""Keys and values kept on a CPU, if there is memory; vLLM's own default is nearly all of it."""
CPU_BATCHED_TOKENS = 4096
"""Tokens of one step; the context length, where that is longer."""
OUR_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""They mean a stop to us, and Slurm sends them to every process of a job. The engine's processes
are born with them blocked, so that they live until we have what they wrote."""


class _Engine(AsyncLLM):  # type: ignore[misc]
    """vLLM without statistics of every token, which take a sixth of this process's time.

    Those of the scheduler, which it keeps together with them, are a few numbers of every step.
    """

    def _run_output_handler(self) -> None:
        self.log_stats = False
        super()._run_output_handler()


def own_loop() -> Loop:
    """The loop that vLLM is started in."""
    return Loop("vllm", prepare=_block_our_signals)


def _block_our_signals() -> None:
    # Processes inherit this from the thread that starts them.
    signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
    # Python starts its tracker with the first process, and unblocks SIGINT when it does.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)


def child_processes() -> set[int]:
    """Ids of the processes that this one and its children have started."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def guarded(others: set[int]) -> "subprocess.Popen[bytes]":
    """Have the processes that we started killed should we be killed; kill the guard when done.

    Args:
        others: ids of processes that were there before.
    """
    started = child_processes() - others
    script = str(Path(__file__).with_name("vllm_guard.py"))
    # Born with our signals blocked: one may come before the script has said that it ignores them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", script, *map(str, started)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def start(
    loop: Loop,
    checkpoint: Checkpoint,
    config: ModelConfig,
    figures: Any,
    should_stop: Callable[[], bool],
) -> Any:
    """Start vLLM's engine, an `AsyncLLM` that lives in the loop.

    Args:
        loop: where it lives.
        checkpoint: the model.
        config: its `engine_args` win over what is set here.
        figures: told by vLLM how it is doing.
        should_stop: turns true when it is no longer wanted.

    Raises:
        ConfigError: vLLM doesn't know one of the engine_args.
        EngineError: it can't start.
        Stopped: it was no longer wanted before it was there.
    """
    arguments = _engine_args(checkpoint, config)

    async def create() -> Any:
        engine = _Engine.from_engine_args(
            arguments,
            usage_context=UsageContext.LLM_CLASS,
            stat_loggers=[lambda *where: figures],
        )
        # Waits for the warm-up of the image processor, which nothing may run beside.
        await engine.reset_mm_cache()
        return engine

    try:
        with _stdout_on_stderr(), _environment():
            return _unless_stopped(loop, create(), should_stop)
    except Stopped:
        raise
    except Exception as error:
        raise EngineError(
            f"vLLM can't run {checkpoint.path}: {reason(error)}",
            "What it logged says more; its settings go into the model's engine_args.",
        ) from error


def engine_settings(checkpoint: Checkpoint, config: ModelConfig) -> dict[str, Any]:
    """The arguments vLLM is started with: ours, where `engine_args` doesn't say otherwise."""
    arguments: dict[str, Any] = {
        "model": checkpoint.path,
        "dtype": config.dtype,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if checkpoint.multimodal:
        arguments["limit_mm_per_prompt"] = {"image": MAX_IMAGES, "video": 0}
    if current_platform.is_cpu():
        arguments |= _cpu_args(checkpoint, config)
    return arguments | config.engine_args


def _engine_args(checkpoint: Checkpoint, config: ModelConfig) -> Any:
    try:
        return AsyncEngineArgs(**engine_settings(checkpoint, config))
    except TypeError as error:
        raise ConfigError(
            f"vLLM doesn't take these engine_args: {error}.", "See the fields of its EngineArgs."
        ) from error


def _cpu_args(checkpoint: Checkpoint, config: ModelConfig) -> dict[str, Any]:
    """Settings without which vLLM's CPU build fails or takes all memory."""
    context_length = config.engine_args.get("max_model_len", checkpoint.context_length) or 0
    return {
        "dtype": "float32" if config.dtype == "auto" else config.dtype,
        "enforce_eager": True,
        # Prompts cut into chunks fail where rows have seeds of their own.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(CPU_BATCHED_TOKENS, context_length),
        "kv_cache_memory_bytes": min(CPU_CACHE_BYTES, psutil.virtual_memory().available // 8),
    }


def _unless_stopped(
    loop: Loop, starting: Coroutine[Any, Any, Any], should_stop: Callable[[], bool]
) -> Any:
    """What a coroutine starts; without its processes vLLM gives up by itself."""
    others = child_processes()
    engine = loop.submit(starting)
    while not wait([engine], POLL_SECONDS).done:
        if should_stop():
            while not wait([engine], POLL_SECONDS).done:
                for process in child_processes() - others:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
            raise Stopped("Stopped early.", "Run the same command again to go on.")
    return engine.result()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What processes started meanwhile find in their environment, unless it says otherwise."""
    ours = {"PYTHONWARNINGS": "ignore", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    if current_platform.is_cpu():
        # Compiling the sampler takes longer than it gains, and needs a C++ compiler.
        ours["TORCH_COMPILE_DISABLE"] = "1"
    missing = ours.keys() - os.environ.keys()
    os.environ.update({name: ours[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


@contextlib.contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Give processes started meanwhile standard error for both: standard output is for results."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)
