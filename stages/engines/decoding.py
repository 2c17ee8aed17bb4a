"""Images decoded in processes of their own, ahead of the engine that will look at them."""

import multiprocessing
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from threading import Lock

from PIL import Image

from data.images import open_image

NUM_PROCESSES = 2
MOST_AHEAD = 16
"""Images that are decoded and not yet looked at; a large photograph takes tens of megabytes."""


class Decoder:
    """Opens images; those it was told of early are there already.

    Pillow decodes with Python's lock held, so that threads would stand in each other's way.
    """

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None
        self.ahead: OrderedDict[bytes, Future[Image.Image]] = OrderedDict()
        self.lock = Lock()

    def expect(self, images: Sequence[bytes]) -> None:
        """Begin to decode images that will be asked for."""
        for image in images:
            self._submit(image)

    def open(self, image: bytes) -> Image.Image:
        """A decoded image.

        Raises:
            ImageError: it can't be used.
        """
        return self._submit(image).result()

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def _submit(self, image: bytes) -> "Future[Image.Image]":
        with self.lock:
            if self.pool is None:
                context = multiprocessing.get_context("spawn")
                self.pool = ProcessPoolExecutor(NUM_PROCESSES, mp_context=context)
            if image not in self.ahead:
                self.ahead[image] = self.pool.submit(open_image, image)
            self.ahead.move_to_end(image)
            future = self.ahead[image]
            while len(self.ahead) > MOST_AHEAD:
                self.ahead.popitem(last=False)
            return future
