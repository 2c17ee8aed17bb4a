"""Worker processes that can be killed: each task has a deadline, each worker a limit of memory.

Workers are forked off a server that has loaded the rules and the symbolic engine, so that one takes
the place of a dead one within a tenth of a second.
"""

import functools
import multiprocessing.context
import multiprocessing.forkserver
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

from data.errors import EngineError
from stages.verifiers.math import start_worker

Result = TypeVar("Result")
TASKS_PER_WORKER = 500
"""A worker is replaced after this many, because sympy's caches only grow."""
LOST = (ProcessExpired, BrokenExecutor)
"""What a task raises whose worker is gone, for whatever reason."""
PRELOADED = ("stages.verifiers.warm", "pydantic", "typer", "rich", "pyarrow", "numpy")
"""What workers use, and what the command that starts them imports."""


class Workers:
    """A pool of them, started by its first task.

    Args:
        number: processes.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_been_replaced = False

    @functools.cached_property
    def pool(self) -> ProcessPool:
        """The processes."""
        return ProcessPool(
            max_workers=self.number,
            max_tasks=TASKS_PER_WORKER,
            initializer=start_worker,
            context=workers_context(),
        )

    def run(
        self, task: Callable[..., Result], *arguments: object, seconds: float
    ) -> Future[Result]:
        """Have a worker call a function; it is killed when that takes longer than `seconds`.

        Raises:
            EngineError: the pool is broken, and so was the one before it.
        """
        try:
            return self._schedule(task, arguments, seconds)
        except RuntimeError as error:  # so pebble says that a pool is broken
            if self.has_been_replaced:
                raise EngineError(
                    "The verifier's worker processes were killed, and their successors too.",
                    "See what ends them, such as a memory limit, and run the same command again.",
                ) from error
        self.has_been_replaced = True
        self.stop()
        return self._schedule(task, arguments, seconds)

    def _schedule(
        self, task: Callable[..., Result], arguments: tuple[object, ...], seconds: float
    ) -> Future[Result]:
        future: Future[Result] = self.pool.schedule(task, args=arguments, timeout=seconds)
        return future

    def stop(self) -> None:
        """End the processes, whatever they are at."""
        if pool := vars(self).pop("pool", None):
            pool.stop()
            pool.join()


def workers_context() -> multiprocessing.context.ForkServerContext:
    """The process that workers are forked from, started if need be; nothing waits for it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in PRELOADED if _is_used(name)])
    multiprocessing.forkserver.ensure_running()
    return context


def _is_used(name: str) -> bool:
    return name in sys.modules or name.startswith("stages.")
