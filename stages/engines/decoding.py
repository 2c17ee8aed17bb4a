"""Images decoded in processes of their own, ahead of the engine that will look at them."""

import multiprocessing
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Lock

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
        self.expected: OrderedDict[bytes, None] = OrderedDict()
        self.ahead: OrderedDict[bytes, Future[Image.Image]] = OrderedDict()
        self.lock = Lock()

    def expect(self, images: Sequence[bytes]) -> None:
        """Decode these when there is room, for they will be asked for, in this order."""
        with self.lock:
            for image in images:
                if image not in self.ahead:
                    self.expected[image] = None
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
        except BrokenProcessPool as error:
            with self.lock:
                self.pool = None  # what else it had is decoded anew when it is asked for
                self.ahead.clear()
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
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(NUM_PROCESSES, mp_context=context)
        return self.pool.submit(open_image, image)
