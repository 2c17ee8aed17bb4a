"""Which model is evaluated, and where what it answers lies.

A checkpoint is named `final` (what the run trained), `base` (the policy it started from), or by the
path of a model.
"""

import json
from pathlib import Path

from data.errors import ConfigError, InputError
from data.tables import digest_of
from data.world import PREFIX


def checkpoint_path(run_dir: Path, checkpoint: str, base: str | None) -> str | None:
    """The model that is evaluated.

    Args:
        run_dir: the run.
        checkpoint: its name.
        base: the policy that the run started from.

    Raises:
        ConfigError: it is neither `final` nor `base` nor a path.
        InputError: the run has no trained checkpoint yet.
    """
    if checkpoint == "base":
        return base
    if checkpoint != "final":
        if "/" not in checkpoint and not checkpoint.startswith(PREFIX):
            raise ConfigError(
                f"eval.checkpoint = {checkpoint!r} names no checkpoint.",
                "Set it to final, to base, or to the path of a model.",
            )
        return checkpoint
    final = run_dir / "checkpoints" / "final"
    if not final.is_dir():
        raise InputError(
            f"{final} does not exist, so there is nothing to evaluate.",
            "Run `sophia train` first, or ask for the base policy: --set eval.checkpoint=base.",
        )
    return str(final)


def checkpoint_identity(path: str | None) -> str | None:
    """What the training that made a checkpoint was of; the path of a model of other origin.

    Returns:
        A digest of its settings, tables and planned rows: the same training gives the same.
    """
    manifest = Path(path or "") / "sophia.json"
    if not manifest.is_file():
        return path
    found = json.loads(manifest.read_text())
    return digest_of([found["metadata"]["digest"], found["plan"]])


def evaluation_name(benchmark: str, checkpoint: str) -> str:
    """The folder of an evaluation: `evals/world`, or `evals/world@base` for the base policy."""
    if checkpoint == "final":
        return f"evals/{benchmark}"
    if checkpoint == "base":
        return f"evals/{benchmark}@base"
    name = Path(checkpoint.removeprefix(PREFIX)).name
    return f"evals/{benchmark}@{name}-{digest_of(checkpoint)[:6]}"
