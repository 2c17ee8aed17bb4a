"""What a table is made from, and whether what lies on disk belongs to what is asked for now."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import tables
from data.errors import RefusedError

MAX_TOKENS = "max_tokens"


def identify(
    stage: str, settings: Mapping[str, Any], growing: Mapping[str, int], inputs: Sequence[Path]
) -> tables.Metadata:
    """What a stage's output says of itself: its settings and inputs, and their digest.

    Args:
        stage: its name.
        settings: all that the output depends on.
        growing: those of them that may grow, with their values.
        inputs: the folders of the tables it is made from.
    """
    fixed = {key: value for key, value in settings.items() if key not in growing}
    return tables.Metadata(
        stage=stage,
        digest=tables.digest_of(stage, settings, list(map(tables.table_digest, inputs))),
        root=tables.digest_of(stage, fixed, list(map(tables.table_root, inputs))),
        growing=dict(growing),
        mended_inputs={folder.name: tables.times_mended(folder) for folder in inputs},
        settings=dict(settings),
    )


def is_outdated(path: Path, now: tables.Metadata, redo: str | None = None) -> bool:
    """Whether rows are to be added to a shard or part; a table of other tools never is.

    Args:
        path: a Parquet file.
        now: what it would say of itself if it was made now.
        redo: which rows are made again, as in `Job`.

    Raises:
        RefusedError: it was made with other settings or inputs; the message names what differs.
    """
    found = tables.read_metadata(path)
    return found is not None and differs(path, found, now, redo)


def has_mended_inputs(found: tables.Metadata, now: tables.Metadata) -> bool:
    """Whether failed rows of an input were made again since: so are those made from them."""
    return any(
        number > found.mended_inputs.get(name, 0) for name, number in now.mended_inputs.items()
    )


def differs(
    path: Path, found: tables.Metadata, now: tables.Metadata, redo: str | None = None
) -> bool:
    """As `is_outdated`, of a file whose metadata has been read."""
    if found.digest == now.digest:
        return False
    folder = path.parents[2] if path.parents[1].name == ".parts" else path.parent
    if not found.root or found.root != now.root or has_mended_inputs(now, found):
        what = found.differences(now) or "its input tables are not the same"
        raise RefusedError(
            f"{folder} was made with other settings or inputs: {what}.",
            f"Set them back, use another --run, or delete {folder.name}/ and what was made from "
            "it.",
        )
    for name, number in found.growing.items():
        wanted = now.growing.get(name, number)
        if number > wanted:
            raise RefusedError(
                f"{folder} was made with {name} = {number}, now {wanted}.",
                "It can be raised later, not lowered: set it back, or use another --run.",
            )
        if number < wanted and name.endswith(MAX_TOKENS) and redo != "length":
            raise RefusedError(
                f"{folder} was made with {name} = {number}, now {wanted}.",
                "Add --redo length to make again what it cut off, or set it back.",
            )
    return True
