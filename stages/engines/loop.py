"""An event loop in a thread of its own: how engines that wait for answers serve an iterator."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from stages.engines import Request

Result = TypeVar("Result")

POLL_SECONDS = 0.2
"""How soon a stop is noticed."""


class Loop:
    """An event loop in a thread of its own.

    Args:
        name: of the thread.
        prepare: run in the thread before anything else.
    """

    def __init__(self, name: str, prepare: Callable[[], None] = lambda: None) -> None:
        self.prepare = prepare
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.prepare()
        self.loop.run_forever()

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run a coroutine in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """End the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class InFlight(Generic[Result]):
    """Requests that are being answered in a loop, never more than there is room for.

    Args:
        loop: where they are answered.
        room: how many at once.
    """

    def __init__(self, loop: Loop, room: int) -> None:
        self.loop = loop
        self.room = room
        self.futures: set[Future[Result]] = set()

    def run(
        self,
        requests: Iterable[Request],
        answer: Callable[[Request], Coroutine[Any, Any, Result]],
        should_stop: Callable[[], bool],
    ) -> Iterator[Future[Result]]:
        """Answer requests, and yield each answer when it is there.

        Requests are read as there is room. On a stop the iterator ends with what is there, and what
        is under way is left in `futures`.
        """
        source = iter(requests)
        is_exhausted = False
        finished: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
        while not should_stop():
            while not is_exhausted and len(self.futures) < self.room:
                if (request := next(source, None)) is None:
                    is_exhausted = True
                    break
                future = self.loop.submit(answer(request))
                self.futures.add(future)
                future.add_done_callback(finished.put)
            if not self.futures:
                return
            with contextlib.suppress(queue.Empty):
                future = finished.get(timeout=POLL_SECONDS)
                self.futures.remove(future)
                yield future
        for future in [future for future in self.futures if future.done()]:
            self.futures.remove(future)
            yield future

    def cancel(self) -> None:
        """Give up what is under way."""
        while self.futures:
            self.futures.pop().cancel()
