"""Images decoded in processes of their own, ahead of the engine that will look at them."""

import multiprocessing
import os
from collections import Counter, OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Lock, Thread

from PIL import Image

from data.images import ImageError, open_image

NUM_PROCESSES = 2
MOST_AHEAD = 16
"""Images that are decoded and not yet looked at; a large photograph takes tens of megabytes."""


class Decoder:
    """Opens images; those it was told of early are there already.

    Pillow decodes with Python's lock held, so that threads would stand in each other's way.
    """

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None
        self.wanted = Counter[bytes]()
        self.expected: OrderedDict[bytes, None] = OrderedDict()
        self.ahead: OrderedDict[bytes, Future[Image.Image]] = OrderedDict()
        self.lock = Lock()

    def expect(self, images: Sequence[bytes]) -> None:
        """Decode these once when there is room, in this order; `release` them afterwards."""
        with self.lock:
            for image in images:
                if not self.wanted[image]:
                    self.expected[image] = None
                self.wanted[image] += 1
            self._decode_ahead()

    def release(self, images: Sequence[bytes]) -> None:
        """Let go of images that were expected, whether or not they were opened."""
        with self.lock:
            for image in images:
                self.wanted[image] -= 1
                if not self.wanted[image]:
                    del self.wanted[image]
                    self.expected.pop(image, None)
                    if future := self.ahead.pop(image, None):
                        future.cancel()
            self._decode_ahead()

    def open(self, image: bytes) -> Image.Image:
        """A decoded image.

        Raises:
            ImageError: it can't be used.
        """
        with self.lock:
            self.expected.pop(image, None)
            future = self.ahead.pop(image, None) or self._submit(image)
            self._decode_ahead()
        try:
            return future.result()
        except BrokenProcessPool:  # perhaps over another image
            with self.lock:
                self._renew()
                future = self._submit(image)
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise ImageError("the process that decoded it died") from error

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def _decode_ahead(self) -> None:
        while self.expected and len(self.ahead) < MOST_AHEAD:
            image, _ = self.expected.popitem(last=False)
            self.ahead[image] = self._submit(image)

    def _submit(self, image: bytes) -> "Future[Image.Image]":
        if self.pool is not None:
            try:
                return self.pool.submit(open_image, image)
            except BrokenProcessPool:
                self._renew()
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(NUM_PROCESSES, context, initializer=_end_with_parent)
        return self.pool.submit(open_image, image)

    def _renew(self) -> None:
        """Give up processes of which one died; what they had is decoded when it is asked for."""
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)
        self.pool = None
        self.ahead.clear()


def _end_with_parent() -> None:
    """Have this process end when the one that started it does, were it killed."""

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
