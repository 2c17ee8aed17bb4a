"""What a shard says of itself, and the identity of a table that follows from it."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from data.errors import InputError
from data.records import SCHEMA_VERSION
from data.tables.names import shards
from data.tables.reading import open_parquet

METADATA_KEY = b"sophia"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a shard says of itself, kept in the Parquet file's key-value metadata."""

    stage: str
    digest: str
    """Identity of everything the rows depend on: settings and inputs."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings behind the digest, so that a difference can be named."""
    root: str = ""
    """As `digest`, without the settings that may grow: rows are added, those there stay."""
    growing: dict[str, int] = field(default_factory=dict)
    """Those settings, such as `reason.num_rollouts`."""
    redone: dict[str, int] = field(default_factory=dict)
    """How often rows were made again (`--redo`): those that had failed (`errors`), which nothing
    but failed rows was made from, and those that were cut off (`length`)."""
    mended_inputs: dict[str, int] = field(default_factory=dict)
    """Input table -> how often failed rows were made again in its shards, all together."""
    remade: dict[str, list[list[Any]]] = field(default_factory=dict)
    """The how-manieth time -> keys of the rows that were made again then, of those that others may
    have been made from: cut-off ones, and what was made from such."""
    made_from: dict[str, int] = field(default_factory=dict)
    """Input table -> how often its same shard had made such rows again when ours were made."""
    schema_version: int = SCHEMA_VERSION
    num_rows: int = 0
    num_errors: int = 0
    num_tokens: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Rows by status, or else by finish_reason; `unfinished` ones only in parts."""
    error_kinds: dict[str, int] = field(default_factory=dict)
    """Failed rows by what failed, such as `image` or `prompt_too_long`."""
    kept_tokens: int = 0
    """Tokens of unfinished rows, behind which the next attempt goes on."""
    seconds: float = 0.0
    """Time spent on these rows, by all attempts."""
    finished_at: float = 0.0
    """Unix time."""
    figures: dict[str, int] = field(default_factory=dict)
    """Counts a stage made on the way, which add up over shards."""

    def differences(self, now: "Metadata") -> str:
        """The settings that differ, as `name = 1, now 2; ...`; empty where none does."""
        names = sorted(self.settings.keys() | now.settings.keys())
        return "; ".join(
            f"{name} = {self.settings.get(name)!r}, now {now.settings.get(name)!r}"
            for name in names
            if self.settings.get(name) != now.settings.get(name)
        )

    def encode(self) -> dict[bytes, bytes]:
        """As Arrow schema metadata."""
        return {METADATA_KEY: json.dumps(vars(self), sort_keys=True).encode()}


def read_metadata(path: Path) -> Metadata | None:
    """A shard's own metadata; None for a file that another tool wrote.

    Raises:
        InputError: the file is no Parquet file, or a newer version of this program wrote it.
    """
    raw = (open_parquet(path).metadata.metadata or {}).get(METADATA_KEY)
    if raw is None:
        return None
    values = json.loads(raw)
    if values["schema_version"] > SCHEMA_VERSION:
        raise InputError(f"{path} was written by a newer version of sophia.", "Install that one.")
    return Metadata(**values)


def digest_of(*parts: Any) -> str:
    """A short hex digest of anything JSON can say."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def table_digest(folder: Path) -> str:
    """Identity of a table's content, from its shards' metadata, or their bytes where foreign."""
    return _joint_digest(folder, "digest")


def table_root(folder: Path) -> str:
    """As `table_digest`, but the same when rows were added to the table or made again.

    What was made from the others stays as it is.
    """
    return _joint_digest(folder, "root")


def times_mended(folder: Path) -> int:
    """How often failed rows were made again in a table's shards, all together."""
    found = filter(None, map(read_metadata, shards(folder)))
    return sum(metadata.redone.get("errors", 0) for metadata in found)


def _joint_digest(folder: Path, name: Literal["digest", "root"]) -> str:
    digests = set()
    for path in shards(folder):
        metadata = read_metadata(path)
        if metadata is None:
            with path.open("rb") as file:
                digests.add(hashlib.file_digest(file, "sha256").hexdigest()[:16])
        else:
            redone = sorted(metadata.redone.items()) if name == "digest" else ()
            digests.add("-".join([getattr(metadata, name), *(f"{k}{n}" for k, n in redone)]))
    return digests.pop() if len(digests) == 1 else digest_of(sorted(digests))
