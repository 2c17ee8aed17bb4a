"""Training questions that are a benchmark's, found by their words and by their images.

Words: a run of 13 words in common, as is usual since GPT-3. Shorter questions, which say much the
same in any data set, overlap where nearly all their words are the same and neither has an image.
Images: perceptual hashes that differ in a few of 256 bits, whatever the question: that holds
against scaling, compression and small changes of colour, not against crops and turns.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.images import ImageError, open_image
from data.records import Sample

WORDS = 13
"""A run of so many words in common is an overlap."""
JACCARD = 0.8
"""So much of all words in common is, for questions shorter than that."""
FEWEST_WORDS = 3
"""What is shorter still, such as `Find x.`, says nothing."""
HASH_SIZE = 16
"""Bits of a perceptual hash, squared."""
MOST_BITS = 10
"""Hashes of 256 bits that differ in no more are of one image."""
WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
"""A Chinese character is a word of its own."""
MENTION = re.compile(r"<\s*image[\s_]?\d*\s*>", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Why a training question is left out."""

    kind: str
    """`words` or `image`"""
    benchmark: str
    question: str
    """The benchmark's own name of the question."""
    detail: str
    """What they have in common."""


def words_of(text: str) -> list[str]:
    """A text as plain words: without case, marks and the difference of full and half width."""
    plain = MENTION.sub(" ", unicodedata.normalize("NFKC", text))
    return WORD.findall(plain.casefold())


def perceptual_hash(data: bytes) -> NDArray[np.uint8] | None:
    """256 bits of what an image looks like; None of one that is broken or of a single colour."""
    import imagehash

    try:
        image = open_image(data).convert("L")
    except ImageError:
        return None
    low, high = image.getextrema()
    if low == high:
        return None
    return np.packbits(imagehash.phash(image, hash_size=HASH_SIZE).hash)


@dataclass(kw_only=True)
class Exclusions:
    """The questions of benchmarks, in a form that others are looked up in."""

    runs: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)
    """13 words -> (benchmark, question)."""
    short: dict[str, list[tuple[frozenset[str], tuple[str, str]]]] = field(default_factory=dict)
    """Word -> short questions that have it, all their words and their names."""
    hashes: list[NDArray[np.uint8]] = field(default_factory=list)
    hashed: list[tuple[str, str]] = field(default_factory=list)
    """Whose hashes they are."""
    matrix: NDArray[np.uint8] | None = None
    """`hashes` in one piece, once all are there."""

    def add(self, benchmark: str, question: str, text: str, images: Sequence[bytes]) -> None:
        """Take in one question of a benchmark."""
        name = (benchmark, question)
        words = words_of(text)
        for run in _runs(words):
            self.runs.setdefault(run, name)
        if FEWEST_WORDS <= len(words) < WORDS and not images:
            for word in set(words):
                self.short.setdefault(word, []).append((frozenset(words), name))
        for data in images:
            if (found := perceptual_hash(data)) is not None:
                self.hashes.append(found)
                self.hashed.append(name)
                self.matrix = None

    def find(self, sample: Sample) -> Overlap | None:
        """What a training question has in common with a benchmark, if anything."""
        images = [image["bytes"] for image in sample.images or [] if image["bytes"]]
        words = words_of(sample.question or "")
        return self._by_words(words, bool(images)) or self._by_image(images)

    def _by_words(self, words: list[str], has_images: bool) -> Overlap | None:
        for run in _runs(words):
            if (name := self.runs.get(run)) is not None:
                return _overlap("words", name, " ".join(run))
        if has_images or not FEWEST_WORDS <= len(words) < WORDS:
            return None
        own = frozenset(words)
        for word in own:
            for other, name in self.short.get(word, ()):
                # Another number makes it another question.
                same_numbers = _numbers(own) == _numbers(other)
                if same_numbers and len(own & other) >= JACCARD * len(own | other):
                    return _overlap("words", name, " ".join(words))
        return None

    def _by_image(self, images: Iterable[bytes]) -> Overlap | None:
        if not self.hashes:
            return None
        if self.matrix is None:
            self.matrix = np.stack(self.hashes)
        for number, data in enumerate(images, 1):
            if (found := perceptual_hash(data)) is None:
                continue
            bits = np.bitwise_count(self.matrix ^ found).sum(axis=1, dtype=np.int32)
            nearest = int(bits.argmin())
            if bits[nearest] <= MOST_BITS:
                detail = f"image {number} differs in {bits[nearest]} of {HASH_SIZE**2} bits"
                return _overlap("image", self.hashed[nearest], detail)
        return None


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(len(words) - WORDS + 1):
        yield tuple(words[start : start + WORDS])


def _numbers(words: Iterable[str]) -> set[str]:
    return {word for word in words if word.isdigit()}


def _overlap(kind: str, name: tuple[str, str], detail: str) -> Overlap:
    return Overlap(kind=kind, benchmark=name[0], question=name[1], detail=detail)


def as_json(position: int, sample: Sample, overlap: Overlap) -> dict[str, Any]:
    """A line of the list of what was left out."""
    return {"row": position, "text": sample.question, **vars(overlap)}
