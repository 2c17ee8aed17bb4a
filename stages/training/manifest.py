"""What a checkpoint, or the finished policy, says of itself: `sophia.json` in its folder."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

from data.errors import Stopped
from data.tables import Metadata

MANIFEST = "sophia.json"
CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint, or the finished policy, says of itself."""

    metadata: Metadata
    """Stage, digest and settings that made it."""
    plan: str
    """Digest of the plan."""
    planned: dict[str, Any]
    """What the plan came to: rows, trajectories, tokens, rejected rows by reason."""
    step: int
    """Optimizer steps done."""
    num_steps: int
    """Optimizer steps of the whole training."""
    zero_stage: int
    num_ranks: int
    seconds: float
    """Training time of all attempts."""
    last_step: dict[str, Any] = field(default_factory=dict)
    """Figures of the last step: loss, gradient_norm, ..."""
    ratio: dict[str, Any] = field(default_factory=dict)
    """pi_theta / mu `before` and `after` training, as far as it was measured."""
    parts: dict[str, Any] = field(default_factory=dict)
    """Parameters of each part of the policy, trained and frozen; hash of the frozen parts."""
    optimizer: list[dict[str, Any]] = field(default_factory=list)
    """AdamW's parameter groups: weight decay, betas, number of tensors and parameters."""
    fingerprint: dict[str, float] = field(default_factory=dict)
    """What the state gives when it is loaded: the next loss, norms of AdamW's moments."""
    resharded_from: dict[str, Any] | None = None
    """What this was made from, where other ranks had written it."""
    exported: dict[str, Any] = field(default_factory=dict)
    """Of the finished policy, `greedy_tokens`: what it and the trained one both make of a planned
    prompt, `asked_on` the CPU or a GPU; null: too large to be asked, so that its weights alone were
    compared."""
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Path inside the folder -> bytes, SHA-256."""

    def dump(self, folder: Path) -> None:
        """Write it into a folder, durably."""
        path = folder / MANIFEST
        with path.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read a folder's manifest; None where it has none, a torn one, or another version's."""
        try:
            return cls.from_json(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
            return None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `asdict`."""
        return cls(**{**values, "metadata": Metadata(**values["metadata"])})

    def damage(self, folder: Path, should_stop: Callable[[], bool] = lambda: False) -> str | None:
        """What is wrong with the folder that it describes; None: its files are as written.

        Raises:
            Stopped: it was time to stop before all was read.
        """
        files = {folder / name: tuple(facts) for name, facts in self.files.items()}
        if not files:
            return f"{MANIFEST} names no files"
        for file in files:
            if not file.is_file():
                return f"{file.relative_to(folder)} is missing"
        with ThreadPoolExecutor() as pool:
            for file, facts in zip(
                files, pool.map(partial(describe, should_stop=should_stop), files), strict=True
            ):
                if facts != files[file]:
                    return f"{file.relative_to(folder)} is not as it was written"
        return None


def describe_files(folder: Path) -> dict[str, tuple[int, str]]:
    """Sizes and hashes of what all ranks have written. All ranks call it, and share the reading.

    On a network's file system a rank may not see yet what another has written, but each of them
    sees its own.
    """
    from torch import distributed

    rank, num_ranks = distributed.get_rank(), distributed.get_world_size()
    seen: list[list[str]] = [[] for _ in range(num_ranks)]
    distributed.all_gather_object(seen, list(_files(folder)))
    parts: list[dict[str, tuple[int, str]]] = [{} for _ in range(num_ranks)]
    mine = {name: describe(folder / name) for name in share(seen, rank)}
    distributed.all_gather_object(parts, mine)
    return dict(sorted(chain.from_iterable(part.items() for part in parts)))


def share(seen: Sequence[Iterable[str]], rank: int) -> list[str]:
    """The files that a rank reads, of those that any rank has seen."""
    return sorted({*chain.from_iterable(seen)})[rank :: len(seen)]


def describe_manifest(path: Path) -> str:
    """SHA-256 of a checkpoint's manifest, which names its files by theirs."""
    return describe(path / MANIFEST)[1]


def describe(path: Path, should_stop: Callable[[], bool] = lambda: False) -> tuple[int, str]:
    """Size and SHA-256 of a file, which is flushed to disk.

    Raises:
        Stopped: it was time to stop before all was read; large files take minutes.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        while chunk := file.read(CHUNK_BYTES):
            if should_stop():
                raise Stopped("Stopped early.", "Run the same command again to go on.")
            digest.update(chunk)
        return path.stat().st_size, digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return (path.relative_to(folder).as_posix() for path in paths)
