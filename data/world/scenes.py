"""Scenes of the built-in world: coloured shapes on a 3x3 grid.

A scene is a pure function of its seed; so is its picture. Rendering jitters position, size and
shade and lays noise over the whole image, so that describing a scene takes learning.
"""

import io
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (208, 48, 48),
    "blue": (48, 84, 208),
    "green": (44, 156, 68),
    "yellow": (228, 190, 40),
}
FORMS = ("circle", "square", "triangle")
CELLS = ("a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3")

IMAGE_SIZE = 84
CELL_SIZE = IMAGE_SIZE // 3
FILL_PROBABILITY = 0.8
NOISE = 0.12


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """One coloured shape."""

    color: str
    """A key of `COLORS`."""
    form: str
    """One of `FORMS`."""

    def __str__(self) -> str:
        """As it is written in descriptions, for example `red circle`."""
        return f"{self.color} {self.form}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A 3x3 grid of shapes."""

    seed: int
    """What the scene and its picture were made from."""
    cells: tuple[Shape | None, ...]
    """Nine entries in the order of `CELLS`; `None` is an empty cell."""

    def describe(self) -> str:
        """The full description: `a1 red circle, a2 empty, ... c3 blue square.` (nine cells)."""
        cells = zip(CELLS, self.cells, strict=True)
        return ", ".join(f"{name} {shape or 'empty'}" for name, shape in cells) + "."


def make_scene(seed: int) -> Scene:
    """Draw the scene that belongs to `seed`."""
    rng = random.Random(f"scene {seed}")
    cells = tuple(
        Shape(color=rng.choice(tuple(COLORS)), form=rng.choice(FORMS))
        if rng.random() < FILL_PROBABILITY
        else None
        for _ in CELLS
    )
    return Scene(seed=seed, cells=cells)


def render(scene: Scene) -> bytes:
    """Render a scene as PNG bytes, the same ones every time."""
    rng = random.Random(f"picture {scene.seed}")
    image = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), (rng.randint(225, 250),) * 3)
    draw = ImageDraw.Draw(image)
    for index, shape in enumerate(scene.cells):
        if shape is not None:
            _draw_shape(draw, shape, column=index % 3, row=index // 3, rng=rng)
    noise = Image.frombytes("RGB", image.size, rng.randbytes(3 * IMAGE_SIZE * IMAGE_SIZE))
    buffer = io.BytesIO()
    Image.blend(image, noise, NOISE).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _draw_shape(
    draw: ImageDraw.ImageDraw, shape: Shape, *, column: int, row: int, rng: random.Random
) -> None:
    radius = rng.uniform(7.0, 11.0)
    x = (column + 0.5) * CELL_SIZE + rng.uniform(-2.5, 2.5)
    y = (row + 0.5) * CELL_SIZE + rng.uniform(-2.5, 2.5)
    shade = rng.randint(-24, 24)
    red, green, blue = (
        min(255, max(0, channel + shade + rng.randint(-10, 10))) for channel in COLORS[shape.color]
    )
    fill = (red, green, blue)
    if shape.form == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    elif shape.form == "square":
        half = 0.85 * radius
        draw.rectangle((x - half, y - half, x + half, y + half), fill=fill)
    else:
        base = y + 0.75 * radius
        draw.polygon([(x, y - radius), (x - radius, base), (x + radius, base)], fill=fill)
