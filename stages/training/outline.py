"""The plan for people and other tools: small files that stay when the training is done.

    checkpoints/plan.parquet      step -> packs -> rows, with their tokens
    checkpoints/rejected.jsonl    rows that are not trained on, and why

Neither depends on how many ranks there are.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from data import tables
from data.files import replacing
from stages.training.plan import REJECTED, Plan

OUTLINE = "plan.parquet"
SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("pack", pa.int32()),
        ("row", pa.string()),
        ("is_trajectory", pa.bool_()),
        ("prompt_tokens", pa.int32()),
        ("image_tokens", pa.int32()),
        ("response_tokens", pa.int32()),
        ("images", pa.int32()),
    ]
)
"""`pack` counts within a step. It is null without train.pack_length: which rows then go through the
model together depends on the ranks. Image tokens are among those of the prompt."""


def write_outline(
    plan: Plan, capacity: int | None, folder: Path, metadata: tables.Metadata
) -> None:
    """Write both files, in place of an earlier plan's.

    Args:
        plan: what they are about.
        capacity: tokens of a pack; None: rows are not packed by tokens.
        folder: where they go.
        metadata: what the table says of itself.
    """
    dealt = list(_deal(plan, capacity))
    rows = [row for _, _, row in dealt]
    columns = [
        [step for step, _, _ in dealt],
        [pack for _, pack, _ in dealt],
        *([of_row[row] for row in rows] for of_row in _of_rows(plan)),
    ]
    table = pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )
    with replacing(folder / OUTLINE) as temporary:
        tables.write_atomically(temporary, table, metadata)
    with replacing(folder / REJECTED) as temporary:
        shutil.copyfile(plan.folder / REJECTED, temporary)


def _deal(plan: Plan, capacity: int | None) -> Iterator[tuple[int, int | None, int]]:
    """Step, pack and row, in the order of steps and packs."""
    for step, rows in enumerate(plan.steps):
        if capacity is None:
            yield from ((step, None, row) for row in rows)
            continue
        for number, pack in enumerate(plan.packs(step, capacity)):
            yield from ((step, number, row) for row in pack)


def _of_rows(plan: Plan) -> list[list[object]]:
    """The other columns, by row number."""
    is_trajectory = [row < plan.num_trajectories for row in range(plan.num_rows)]
    lengths = (plan.prompt_lengths, plan.image_token_counts, plan.response_lengths)
    return [*map(list, (plan.keys, is_trajectory, *lengths, plan.image_counts))]
