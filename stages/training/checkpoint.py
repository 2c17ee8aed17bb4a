"""Checkpoints: the whole training state of one step, complete or not there at all.

    checkpoints/step-000500/state/...       DeepSpeed's files, one set per rank
    checkpoints/step-000500/sophia.json     what made them, their sizes and hashes; written last

A checkpoint is written under a name that readers ignore, flushed to disk, renamed, and only then
are older ones deleted. So a kill at any moment leaves the newest complete one as it was.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from data.errors import RefusedError
from data.tables import Metadata, sync_folder

STEP_NAME = re.compile(r"step-(\d{6,})")
TAG = "state"
MANIFEST = "sophia.json"
FINAL = "final"
REPLACED = ".replaced-"
"""Begins the name of a folder whose place another one takes."""


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
    prompt; null: too large to be asked, so that its weights alone were compared."""
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
        """Read a folder's manifest; None where it has none, or a torn one."""
        try:
            return cls.from_json(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError, TypeError, KeyError):
            return None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `asdict`."""
        return cls(**{**values, "metadata": Metadata(**values["metadata"])})


def steps(folder: Path) -> list[Path]:
    """The finished checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if STEP_NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def check_same(folder: Path, metadata: Metadata, plan: str) -> None:
    """Refuse a folder of which anything was made with other settings or inputs.

    Args:
        folder: the run's checkpoints.
        metadata: of this attempt.
        plan: digest of this attempt's plan.

    Raises:
        RefusedError: something was; the message names the settings that differ.
    """
    for path in [*steps(folder), folder / FINAL]:
        found = Manifest.load(path)
        if found is None and path.name == FINAL and path.exists():
            raise RefusedError(
                f"{path} is there, but this version of sophia did not make it.",
                f"Use another --run, or move {path} away.",
            )
        if found is None or (found.metadata.digest, found.plan) == (metadata.digest, plan):
            continue
        what = found.metadata.differences(metadata)
        what = what or "its input tables, extra data or the policy's files are not the same"
        raise RefusedError(
            f"{path} was made with other settings or inputs: {what}.",
            f"Set them back, use another --run, or delete {folder}.",
        )


def newest(folder: Path, expected: Manifest | None = None) -> tuple[Path, Manifest] | None:
    """The newest intact checkpoint; None where there is none.

    Args:
        folder: the run's checkpoints.
        expected: has the ranks and the ZeRO stage of this attempt; None: any will do.

    Raises:
        RefusedError: it was written by other ranks, or at another stage.
    """
    for path in reversed(steps(folder)):
        manifest = Manifest.load(path)
        if manifest is not None and is_intact(path, manifest):
            if expected is not None:
                check_layout(path, manifest, expected)
            return path, manifest
    return None


def check_layout(path: Path, found: Manifest, expected: Manifest) -> None:
    """Refuse a checkpoint that other ranks have cut.

    Raises:
        RefusedError: the number of ranks, or the ZeRO stage, is not the same.
    """
    before, now = (found.num_ranks, found.zero_stage), (expected.num_ranks, expected.zero_stage)
    if before != now:
        convert = f" convert it for {now[0]} with `sophia train reshard`,"
        raise RefusedError(
            f"{path} was written by {before[0]} ranks at ZeRO stage {before[1]}, and can't be "
            f"continued by {now[0]} ranks at stage {now[1]}.",
            f"Have train.num_ranks times train.num_nodes be {before[0]}, and train.zero_stage "
            f"{before[1]},"
            f"{convert if before[1] == now[1] else ''} or delete {path.parent} to train from the "
            "start.",
        )


def is_intact(path: Path, manifest: Manifest) -> bool:
    """Whether every file is there as it was written."""
    files = {path / name: tuple(facts) for name, facts in manifest.files.items()}
    if not all(file.is_file() for file in files):
        return False
    with ThreadPoolExecutor() as pool:
        return dict(zip(files, pool.map(describe, files), strict=True)) == files


def save(engine: Any, folder: Path, manifest: Manifest, keep: int) -> Path:
    """Write a checkpoint. All ranks call it; it returns when the checkpoint is there.

    Args:
        engine: the DeepSpeed engine.
        folder: the run's checkpoints.
        manifest: what it says of itself; the files are added.
        keep: how many checkpoints stay.
    """
    from torch import distributed

    rank, num_ranks = distributed.get_rank(), distributed.get_world_size()
    final = folder / f"step-{manifest.step:06d}"
    temporary = folder / f".{final.name}"
    if rank == 0:
        shutil.rmtree(temporary, ignore_errors=True)
    distributed.barrier()
    engine.save_checkpoint(
        str(temporary), tag=TAG, save_latest=False, exclude_frozen_parameters=True
    )
    files: list[dict[str, tuple[int, str]]] = [{} for _ in range(num_ranks)]
    mine = list(_files(temporary))[rank::num_ranks]
    distributed.all_gather_object(files, {name: describe(temporary / name) for name in mine})
    if rank == 0:
        everything = {name: facts for part in files for name, facts in sorted(part.items())}
        replace(manifest, files=everything).dump(temporary)
        move_into_place(temporary, final)
        for old in steps(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    distributed.barrier()
    return final


def load(engine: Any, path: Path) -> None:
    """Restore weights and optimizer from a checkpoint of the same layout, or a universal one."""
    from stages.training import universal

    if universal.is_universal(path):
        universal.load(engine, path, is_whole(engine))
        return
    found, _ = engine.load_checkpoint(str(path), tag=TAG, load_module_strict=is_whole(engine))
    if found is None:
        raise RuntimeError(f"DeepSpeed did not load {path}")


def is_whole(engine: Any) -> bool:
    """Whether a checkpoint has all weights of the engine's module: those of LoRA have adapters."""
    return all(parameter.requires_grad for parameter in engine.module.parameters())


def move_into_place(temporary: Path, final: Path) -> None:
    """Give a finished folder its name, durably; one of that name stays until it has it."""
    for folder in {path.parent for path in temporary.rglob("*")}:
        sync_folder(folder)
    replaced = final.with_name(f"{REPLACED}{final.name}")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    temporary.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def scratch(path: Path) -> Path:
    """A folder beside a checkpoint for what is made of it on the way."""
    return path.with_name(f".{path.name}-universal")


def remove_unfinished(folder: Path) -> None:
    """Delete what attempts that were killed left half written, or replaced."""
    for path in folder.glob(f"{REPLACED}*"):
        final = path.with_name(path.name.removeprefix(REPLACED))
        if final.exists():
            shutil.rmtree(path)
        else:
            path.rename(final)
    for path in folder.glob(".step-*"):
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder / f".{FINAL}", ignore_errors=True)


def describe_manifest(path: Path) -> str:
    """SHA-256 of a checkpoint's manifest, which names its files by theirs."""
    return describe(path / MANIFEST)[1]


def describe(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file, which is flushed to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return (path.relative_to(folder).as_posix() for path in paths)
