"""Open images that nobody has vetted: whatever is wrong with one is an `ImageError`, in words."""

import contextlib
import io
from collections.abc import Iterator

from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485
"""More than this is taken for a decompression bomb. It is where Pillow itself begins to warn."""
MAX_BYTES = 64 * 2**20
"""No encoded image of a data set comes near this."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "ICO")
"""Raster formats. Pillow opens others with the help of outside programs."""


class ImageError(ValueError):
    """An image that can't be used, and why."""


def open_image(data: bytes) -> Image.Image:
    """Decode an image as RGB: turned as its EXIF says, on white where it is transparent.

    Of an animated image it is the first frame.

    Raises:
        ImageError: the data is broken or truncated, of an unknown format, or too large.
    """
    with _image_errors():
        image = ImageOps.exif_transpose(_decode(data))
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Image.new("RGBA", layer.size, "white")
            image.alpha_composite(layer)
        elif image.mode.startswith("I;16"):
            # Pillow would cut 16-bit grey off at 255, which makes nearly all of it white.
            image = image.convert("I").point(lambda value: value / 256).convert("L")
        return image.convert("RGB")


def check_image(data: bytes) -> None:
    """Decode an image to see that it can be.

    Raises:
        ImageError: as for `open_image`.
    """
    with _image_errors():
        _decode(data)


def _decode(data: bytes) -> Image.Image:
    if not data:
        raise ImageError("the image is empty")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{len(data):,} bytes are more than the {MAX_BYTES:,} allowed")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{image.width} x {image.height} pixels are more than the {MAX_PIXELS:,} allowed"
        )
    image.load()
    return image


@contextlib.contextmanager
def _image_errors() -> Iterator[None]:
    """Put whatever Pillow raises into an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("the data is of no image format known here") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"it has more pixels than the {MAX_PIXELS:,} allowed") from error
    except Exception as error:
        # Broken data makes Pillow's decoders raise nearly anything: OSError, SyntaxError,
        # struct.error, IndexError, zlib.error ...
        reason = str(error) or type(error).__name__
        raise ImageError(f"the image is broken or truncated ({reason})") from error
