"""Answers read piece by piece, which a stop ends with their next one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openai import APIConnectionError, APIError

from stages.engines import Request
from stages.engines.chat import PRUNED, UNFINISHED, Answer

FLUSH_SECONDS = 5.0
"""How long a stop waits for the next piece of an answer, with the tokens since the last one."""
BEGIN_SECONDS = 1.0
"""How long it waits for the first one, which may be on its way."""
LIVE_SECONDS = 0.05
"""A piece that did not have to be waited for so long was there already: there may be more."""


@dataclass
class _Reading:
    """An answer that is being read."""

    answer: Answer
    patience: asyncio.Timeout
    """Of which a stop leaves little."""


class Streams:
    """The answers that are being read. All of it happens in one event loop.

    Args:
        max_retries: how often an answer that breaks off is asked for again.
    """

    def __init__(self, max_retries: int) -> None:
        self.max_retries = max_retries
        self.readings: dict[asyncio.Task[Any], _Reading] = {}
        self.is_stopping = False

    async def end(self) -> None:
        """End each with its next piece, so that none of its tokens is lost; soon, if none comes.

        Of pieces that wait to be read, where we are slower than the server, the last one counts.
        """
        self.is_stopping = True
        now = asyncio.get_running_loop().time()
        for each in self.readings.values():
            seconds = FLUSH_SECONDS if each.answer.num_seen else BEGIN_SECONDS
            each.patience.reschedule(now + seconds)
        if self.readings:
            await asyncio.wait(list(self.readings), timeout=2 * FLUSH_SECONDS)

    async def answer(self, request: Request, create: Any, begin: Callable[[], Answer]) -> Answer:
        """Ask for an answer, and read it to its end, or until it is not wanted any more.

        Args:
            request: what is asked.
            create: asks for a stream.
            begin: what there is of the answer.
        """
        task = asyncio.current_task()
        assert task is not None
        reading = _Reading(begin(), asyncio.timeout(0.0 if self.is_stopping else None))
        try:
            async with reading.patience:
                self.readings[task] = reading
                try:
                    return await self._try(request, create, begin, reading)
                finally:
                    self.readings.pop(task)
        except TimeoutError:
            return _cut_short(reading.answer)

    async def _try(
        self, request: Request, create: Any, begin: Callable[[], Answer], reading: _Reading
    ) -> Answer:
        """Read an answer; one that breaks off is asked for again, unless it is time to stop."""
        for attempts_left in reversed(range(self.max_retries + 1)):
            stream = None
            try:
                stream = await create(stream=True, stream_options={"include_usage": True})
                reading.answer = begin()
                return await self._read(stream, reading.answer, request)
            except APIError:
                if self.is_stopping and reading.answer.num_seen:
                    return _cut_short(reading.answer)  # the server was told to stop, too
                # The library sends again what was not answered, but not what broke off.
                if stream is None or not attempts_left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _read(self, stream: Any, answer: Answer, request: Request) -> Answer:
        clock = asyncio.get_running_loop().time
        async with stream:
            since = clock()
            async for chunk in stream:
                answer.add(chunk)
                is_live = clock() - since > LIVE_SECONDS
                if answer.finish_reason is None and (
                    why := self._why_to_end(request, answer, is_live)
                ):
                    answer.finish_reason = why
                    return answer
                since = clock()
        if answer.finish_reason is None:
            sent = stream.response.request
            raise APIConnectionError(message="The answer broke off.", request=sent)
        return answer

    def _why_to_end(self, request: Request, answer: Answer, is_live: bool) -> str | None:
        """Why an answer is to end here, if it is."""
        if self.is_stopping and is_live and answer.num_seen:
            return UNFINISHED
        going = request.keep_going is None or request.keep_going(answer.num_seen)
        return None if going else PRUNED


def _cut_short(answer: Answer) -> Answer:
    answer.finish_reason = answer.finish_reason or UNFINISHED
    return answer
