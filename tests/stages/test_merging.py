"""Parts merged into a table, compared with sorting everything in memory."""

import random
from pathlib import Path

import pytest

from data import tables
from data.records import Rollout, key
from stages import merging
from stages.merging import merge

METADATA = tables.Metadata(stage="reason", digest="d")


def rollout(sample: int, index: int, reason: str = "stop", num_tokens: int = 1) -> Rollout:
    return Rollout(
        sample_id=f"s{sample:03}",
        caption_index=0,
        rollout_index=index,
        text=f"{sample} {index} {reason}",
        finish_reason=reason,
        num_tokens=num_tokens,
        error="engine: gone" if reason == "error" else None,
    )


def write(folder: Path, name: str, rows: list[Rollout]) -> Path:
    path = folder / f"{name}.parquet"
    tables.write_atomically(path, tables.to_table(rows, Rollout), METADATA)
    return path


@pytest.mark.parametrize("seed", range(20))
def test_like_sorting_everything(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "ROWS_AT_ONCE", 40)
    rng = random.Random(seed)
    wanted = [rollout(sample, index) for sample in range(50) for index in range(4)]
    position = {key(row): place for place, row in enumerate(wanted)}
    held: list[list[Rollout]] = [[] for _ in range(rng.randint(1, 6))]
    for row in wanted:
        # Some rows lie in several parts, as they do after a worker has lost its lease.
        for part in rng.sample(held, rng.randint(1, min(2, len(held)))):
            part.append(row)
        if rng.random() < 0.2:
            rng.choice(held).append(rollout(900, row.rollout_index))  # not planned
    for rows in held:
        rows.sort(key=key)
    parts = [write(tmp_path, f"p{number}", rows) for number, rows in enumerate(held)]
    merged = [row for piece in merge(parts, Rollout, position) for row in piece.to_pylist()]
    assert merged == [vars(row) for row in wanted]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((("error", 0), ("stop", 3)), ("stop", 3)),
        ((("unfinished", 90), ("stop", 3)), ("stop", 3)),
        ((("unfinished", 9), ("error", 0)), ("error", 0)),
        ((("length", 10), ("length", 20)), ("length", 20)),
        ((("length", 10), ("stop", 3)), ("stop", 3)),
        ((("length", 10), ("pruned", 20)), ("length", 10)),
        ((("unfinished", 5), ("unfinished", 9)), ("unfinished", 9)),
        ((("pruned", 9), ("stop", 3)), ("stop", 3)),
        ((("pruned", 9), ("error", 0)), ("pruned", 9)),
    ],
)
def test_of_two_rows_the_better_one_stays(
    tmp_path: Path, rows: tuple[tuple[str, int], ...], expected: tuple[str, int]
) -> None:
    for order in (rows, rows[::-1]):
        folder = tmp_path / str(order)
        parts = [
            write(folder, str(i), [rollout(1, 0, reason, tokens)])
            for i, (reason, tokens) in enumerate(order)
        ]
        (merged,) = merge(parts, Rollout, {("s001", 0, 0): 0})
        (row,) = merged.to_pylist()
        assert (row["finish_reason"], row["num_tokens"]) == expected


def test_nothing_is_a_table_too(tmp_path: Path) -> None:
    assert list(merge([], Rollout, {})) == []
    assert list(merge([write(tmp_path, "empty", [])], Rollout, {})) == []
