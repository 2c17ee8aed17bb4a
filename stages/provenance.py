"""What the figures of an evaluation rest on besides the answers: who scored, and what was asked."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import stages.benchmarks
import stages.verifiers
from data import tables
from stages.prompts import load_prompt

PACKAGE = "sophia-rl"


@cache
def scorer_version() -> str:
    """The version of the rules that score: the package's, and a digest of their source."""
    try:
        release = version(PACKAGE)
    except PackageNotFoundError:  # the source is there, but was not installed
        release = "source"
    folders = [Path(package.__path__[0]) for package in (stages.verifiers, stages.benchmarks)]
    return f"{release}+{source_digest(folders)[:8]}"


def source_digest(folders: Iterable[Path]) -> str:
    """SHA-256 of all Python files in folders, and in theirs."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def provenance(
    attempts: Iterable[Mapping[str, Any]],
    *,
    questions: str,
    system_prompt: str,
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
    """What to say of an evaluation beside its figures.

    Args:
        attempts: its rows, of which each says by whom it was scored.
        questions: the digest of the questions, images and all.
        system_prompt: its name, as configured.
        sampling: the settings that the answers were drawn with.
    """
    versions = {row["scorer"] for row in attempts if row.get("scorer")}
    return {
        "questions": questions,
        "system_prompt": system_prompt,
        "prompt_digest": tables.digest_of(load_prompt(system_prompt), questions),
        "scorers": sorted(versions),
        **sampling,
    }
