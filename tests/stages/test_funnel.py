"""The funnel by kind of sample, and the histogram of R(c), from shards that add up."""

from pathlib import Path

import pytest

from data import tables
from data.records import Sample
from stages import funnel
from stages.funnel import FUNNEL, describe
from tests.stages.test_propagate_reward import propagate, rows_of

ROWS = [
    *rows_of("a", 0, "1111", [4, 3, 2, 1]),
    *rows_of("a", 1, "1100", [4, 3, 2, 1]),
    *rows_of("b", 0, "0000", [4, 3, 2, 1]),
    *rows_of("c", 0, "111?", [4, 3, 2, 1]),
    *rows_of("d", 0, "11", [4, 3]),
]


def write_samples(folder: Path, **sources: str | None) -> None:
    samples = [
        Sample(sample_id=name, source=source, answer_type="text" if name == "a" else None)
        for name, source in sources.items()
    ]
    path = tables.shard_path(folder / "samples", 0, 1)
    metadata = tables.Metadata(stage="ingest", digest="d")
    tables.write_atomically(path, tables.to_table(samples, Sample), metadata)


def test_by_source_and_answer_type(tmp_path: Path) -> None:
    write_samples(tmp_path, a="geometry", b="geometry", c=None, d="charts/easy")
    figures = propagate(tmp_path, ROWS)[0].figures
    by_source = figures["funnel_by_source"]
    assert list(by_source) == ["geometry", "charts/easy", "none"]
    assert by_source["geometry"] == {
        "samples": 2,
        "captions": 3,
        "rollouts": 12,
        "judged": 12,
        "right": 6,
        "captions_above_alpha": 1,
        "samples_with_right": 1,
        "samples_kept": 1,
        "trajectories": 1,
    }
    assert by_source["none"]["judged"] == 3 and by_source["none"]["samples_kept"] == 0
    assert figures["funnel_by_answer_type"]["text"]["captions"] == 2
    for kind in ("source", "answer_type"):
        for name in FUNNEL:
            parts = [part[name] for part in figures[f"funnel_by_{kind}"].values()]
            assert sum(parts) == figures["funnel"][name]


def test_captions_by_right_rollouts(tmp_path: Path) -> None:
    figures = propagate(tmp_path, ROWS)[0].figures
    counted = {"0/4": 1, "2/4": 1, "2/2": 1, "4/4": 1, "unjudged": 1}
    assert figures["caption_rewards"] == counted
    assert list(figures["caption_rewards"]) == list(counted), "in the order of R(c)"
    assert "funnel_by_source" not in figures, "there is no table of samples"


def test_rare_values_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(funnel, "NUM_VALUES", 1)
    write_samples(tmp_path, a="x", b="x", c="y", d="z")
    by_source = propagate(tmp_path, ROWS)[0].figures["funnel_by_source"]
    assert {source: found["samples"] for source, found in by_source.items()} == {"x": 2, "other": 2}


def test_counts_of_shards_add_up() -> None:
    one = {"samples": 1, "source=a/samples": 1, "right=3/4": 2}
    assert describe({name: 2 * number for name, number in one.items()}) == {
        "funnel": dict.fromkeys(FUNNEL, 0) | {"samples": 2},
        "funnel_by_source": {"a": dict.fromkeys(FUNNEL, 0) | {"samples": 2}},
        "caption_rewards": {"3/4": 4},
    }
