import subprocess
import sys

import pytest
from PIL import Image

from data.images import MAX_BYTES, ImageError, check_image, open_image
from tests.data.pictures import bomb, encode


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_common_formats_open_as_rgb(kind):
    image = open_image(encode(Image.new("RGB", (6, 4), (250, 10, 10)), kind))
    assert (image.mode, image.size) == ("RGB", (6, 4))
    assert image.getpixel((3, 2))[0] > 240


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode):
    image = Image.new(mode, (3, 3))
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert open_image(encode(image, kind)).mode == "RGB"


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    image = open_image(encode(Image.new("RGB", (8, 4)), "JPEG", exif=exif))
    assert image.size == (4, 8)


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    opened = open_image(encode(image))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (255, 0, 0)]


def test_transparency_of_a_palette_becomes_white():
    image = Image.new("P", (1, 1), 0)
    image.putpalette([0, 0, 255] * 256)
    assert open_image(encode(image, transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_16_bit_grey_keeps_its_brightness():
    opened = open_image(encode(Image.new("I;16", (1, 1), 0x8000)))
    assert opened.getpixel((0, 0)) == (128, 128, 128)


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_truncated_data_is_an_image_error(kind, part):
    data = encode(Image.effect_noise((64, 64), 80).convert("RGB"), kind)
    with pytest.raises(ImageError):
        open_image(data[: int(len(data) * part)])
    with pytest.raises(ImageError):
        check_image(data[: int(len(data) * part)])


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 9]
)
def test_what_is_no_image_is_an_image_error(data):
    with pytest.raises(ImageError):
        check_image(data)


def test_damaged_bytes_never_raise_anything_else():
    data = encode(Image.effect_noise((32, 32), 80).convert("RGB"))
    for position in range(0, len(data), 7):
        damaged = data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]
        try:
            open_image(damaged)
        except ImageError as error:
            assert str(error)


def test_a_bomb_is_refused_from_its_header():
    assert len(bomb()) < 200
    with pytest.raises(ImageError, match="pixels"):
        open_image(bomb())


def test_pixels_beyond_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr("data.images.MAX_PIXELS", 100)
    check_image(encode(Image.new("L", (10, 10))))
    with pytest.raises(ImageError, match="11 x 10 pixels are more than the 100 allowed"):
        check_image(encode(Image.new("L", (11, 10))))


def test_too_many_bytes_are_refused():
    with pytest.raises(ImageError, match="bytes are more than"):
        check_image(b"\0" * (MAX_BYTES + 1))


def test_image_error_is_a_value_error():
    assert issubclass(ImageError, ValueError)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_matter():
    data = encode(Image.new("RGB", (8, 4)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f garbage")
    assert open_image(data).size == (8, 4)


def test_every_format_opens_first_thing_in_a_program():
    data = encode(Image.new("RGB", (2, 2)), "WEBP")
    program = f"from data.images import open_image; print(open_image({data!r}).size)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "(2, 2)\n"
