"""Images decoded ahead: nothing is kept of those that nobody asks for, and processes may die."""

from collections.abc import Iterator

import psutil
import pytest

from data.images import ImageError
from stages.engines.decoding import MOST_AHEAD, Decoder
from tests.stages.engines.asking import picture


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder()
    yield decoder
    decoder.close()


def test_images_of_many_requests_are_decoded_once_and_let_go(decoder: Decoder) -> None:
    images = [picture(f"#{number:06x}") for number in range(3 * MOST_AHEAD)]
    for image in images:
        for _ in range(4):
            decoder.expect([image])
    assert len(decoder.ahead) == MOST_AHEAD
    for image in images[::2]:
        assert decoder.open(image).size == (40, 30)
    assert len(decoder.ahead) == MOST_AHEAD
    for image in images:
        for _ in range(4):
            decoder.release([image])
    assert not decoder.ahead and not decoder.expected and not decoder.wanted


def test_an_image_that_does_not_decode_is_the_only_one_that_fails(decoder: Decoder) -> None:
    broken, whole = b"no image", picture("red")
    decoder.expect([broken, whole])
    with pytest.raises(ImageError):
        decoder.open(broken)
    assert decoder.open(whole).size == (40, 30)


def test_another_process_takes_over_from_one_that_died(decoder: Decoder) -> None:
    first, second, third = (picture(colour) for colour in ("red", "green", "blue"))
    assert decoder.open(first).size == (40, 30)
    before = psutil.Process().children(recursive=True)
    for process in before:
        if "spawn_main" in " ".join(process.cmdline()):
            process.kill()
            process.wait(10)
    decoder.expect([second, third])
    assert decoder.open(second).size == decoder.open(third).size == (40, 30)
