"""Checkpoints: the whole training state of one step, complete or not there at all.

    checkpoints/step-000500/state/...       DeepSpeed's files, one set per rank
    checkpoints/step-000500/sophia.json     what made them, their sizes and hashes; written last

A checkpoint is written under a name that readers ignore, flushed to disk, renamed, and only then
are older ones deleted. So a kill at any moment leaves the newest complete one as it was.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.errors import RefusedError
from data.tables import Metadata, sync_folder
from stages.training.manifest import MANIFEST, Manifest, describe_files

STEP_NAME = re.compile(r"step-(\d{6,})")
TAG = "state"
FINAL = "final"
REPLACED = ".replaced-"
"""Begins the name of a folder whose place another one takes."""
DAMAGED = "damaged-"
"""Begins the name of a checkpoint that was set aside."""


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


def newest(
    folder: Path,
    expected: Manifest | None = None,
    note: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Path, Manifest] | None:
    """The newest intact checkpoint; None where there is none at all.

    Args:
        folder: the run's checkpoints.
        expected: has the ranks and the ZeRO stage of this attempt; None: any will do.
        note: is told of each that is left out, being damaged.
        should_stop: turns true when it is time to stop.

    Raises:
        Stopped: it was time before all was read.
        RefusedError: all are damaged; or it was written by other ranks, or at another stage.
    """
    damaged: list[str] = []
    for path in reversed(steps(folder)):
        manifest = Manifest.load(path)
        if manifest is not None and not (flaw := manifest.damage(path, should_stop)):
            for text in damaged:
                note(f"left out, being damaged: {text}")
            if expected is not None:
                check_layout(path, manifest, expected)
            return path, manifest
        damaged.append(f"{path.name} ({flaw if manifest else f'no whole {MANIFEST}'})")
    if damaged:
        raise RefusedError(
            f"No checkpoint in {folder} is intact: {', '.join(damaged)}.",
            f"Put back what they lack, or delete {folder} to train from the start.",
        )
    return None


def set_aside_newer(path: Path) -> None:
    """Have readers ignore the damaged checkpoints that are newer than the one to continue."""
    for newer in steps(path.parent)[steps(path.parent).index(path) + 1 :]:
        aside = newer.with_name(f"{DAMAGED}{newer.name}")
        shutil.rmtree(aside, ignore_errors=True)
        newer.rename(aside)


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


def save(engine: Any, folder: Path, manifest: Manifest, keep: int) -> Path:
    """Write a checkpoint. All ranks call it; it returns when the checkpoint is there.

    Args:
        engine: the DeepSpeed engine.
        folder: the run's checkpoints.
        manifest: what it says of itself; the files are added.
        keep: how many checkpoints stay.
    """
    from torch import distributed

    rank = distributed.get_rank()
    final = folder / f"step-{manifest.step:06d}"
    temporary = folder / f".{final.name}"
    if rank == 0:
        shutil.rmtree(temporary, ignore_errors=True)
    distributed.barrier()
    engine.save_checkpoint(
        str(temporary), tag=TAG, save_latest=False, exclude_frozen_parameters=True
    )
    files = describe_files(temporary)
    if rank == 0:
        replace(manifest, files=files).dump(temporary)
        move_into_place(temporary, final)
        prune(folder, keep)
    distributed.barrier()
    return final


def prune(folder: Path, keep: int) -> None:
    """Delete all checkpoints but the newest.

    A kill in between leaves none of which a part is missing.

    Args:
        folder: the run's checkpoints.
        keep: how many stay, at least one.
    """
    for old in steps(folder)[:-keep]:
        hidden = old.with_name(f".{old.name}-pruned")
        old.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


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
