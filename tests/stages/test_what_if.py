"""The forecast against the stage itself; what pruned rollouts leave open; nothing is written."""

import random
from dataclasses import replace
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq

from data import tables
from data.records import Sample
from stages.propagate_reward import Config, run
from stages.what_if import ALPHAS, KEEPS, Yield, forecast
from tests.command import result_of, sophia
from tests.reports import SilentReport
from tests.stages.equations import Scored
from tests.stages.test_equations import job, make_sample, write
from tests.stages.test_propagate_reward import propagate, rows_of


def make_rows(seed: int, num_samples: int) -> list[Scored]:
    draw = random.Random(seed)
    return [row for number in range(num_samples) for row in make_sample(draw, f"s{number:03}")]


def forecast_of(folder: Path, **settings: object) -> dict[tuple[float, int], Yield]:
    config = Config.model_validate(settings)
    found = forecast(
        folder,
        select=config.select,
        alpha=config.alpha,
        keep=config.keep,
        run_seed=0,
        report=SilentReport(),
        should_stop=lambda: False,
    )
    return {(one.alpha, one.keep): one for one in found.yields}


def test_the_forecast_is_what_the_stage_then_yields(tmp_path: Path) -> None:
    rows = make_rows(0, 60)
    for select in ("shortest", "random-qualified"):
        write(tmp_path / "all", rows, rows)
        before = sorted(tmp_path.rglob("*"))
        found = forecast_of(tmp_path / "all", alpha=0.6, keep=3, select=select)
        assert sorted(tmp_path.rglob("*")) == before
        assert list(found) == list(product(sorted({*ALPHAS, 0.6}), sorted({*KEEPS, 3})))
        for alpha, keep in ((0.0, 1), (0.6, 3), (0.75, 2), (0.875, 8)):
            folder = tmp_path / f"{select} {alpha} {keep}"
            write(folder, rows, rows)
            config = Config.model_validate({"alpha": alpha, "keep": keep, "select": select})
            funnel = run(job(folder, 0), config).figures["funnel"]
            table = pq.read_table(tables.shard_path(folder / "trajectories", 0, 1))
            lengths = table["num_tokens"].to_pylist()
            assert found[alpha, keep] == Yield(
                alpha=alpha,
                keep=keep,
                samples_kept=funnel["samples_kept"],
                trajectories=funnel["trajectories"],
                mean_tokens=round(sum(lengths) / len(lengths), 1),
            )


def test_a_forecast_worked_out_by_hand(tmp_path: Path) -> None:
    lengths = [80, 70, 60, 50, 40, 30, 20, 10]
    captions = {
        ("a", 0): "11111111",
        ("a", 1): "11111100",  # R(c) = 0.75; the right ones have 80 to 30 tokens
        ("b", 0): "11111110",
        ("c", 0): "11000000",
        ("d", 0): "00000000",
        ("e", 0): "1111111?",  # above 0.75 whatever the last one is; of 0.875 nobody knows
    }
    rows = [row for key, rewards in captions.items() for row in rows_of(*key, rewards, lengths)]
    figures = propagate(tmp_path, rows)[0].figures
    assert figures["funnel"] == {
        "samples": 5,
        "captions": 6,
        "rollouts": 48,
        "judged": 47,
        "right": 30,
        "captions_above_alpha": 3,
        "samples_with_right": 4,
        "samples_kept": 3,
        "trajectories": 3,
    }
    shares = ("0/8", "2/8", "6/8", "7/8", "8/8", "unjudged")
    assert figures["caption_rewards"] == dict.fromkeys(shares, 1)
    found = forecast_of(tmp_path)
    expected = {
        (0.0, 1): (4, 4, 30.0),  # 10 + 20 + 20 + 70
        (0.0, 8): (4, 24, 46.7),  # 8, 7, 7 and 2: 270 + 350 + 350 + 150
        (0.25, 1): (3, 3, 16.7),  # 10 + 20 + 20; c is at 0.25, not above
        (0.625, 4): (3, 12, 30.8),  # a: 10 + 20 + 30 + 30, the others 20 + 30 + 40 + 50
        (0.75, 1): (3, 3, 16.7),
        (0.75, 2): (3, 6, 21.7),
        (0.75, 8): (3, 22, 48.2),  # 360 + 350 + 350
        (0.875, 1): (1, 1, 10.0),
        (0.875, 8): (1, 8, 45.0),
    }
    for (alpha, keep), (kept, chosen, tokens) in expected.items():
        assert found[alpha, keep] == Yield(
            alpha=alpha, keep=keep, samples_kept=kept, trajectories=chosen, mean_tokens=tokens
        )


def test_pruned_rollouts_leave_other_settings_open(tmp_path: Path) -> None:
    rows = make_rows(1, 10)
    write(tmp_path, rows, rows)
    path = tables.shard_path(tmp_path / "rollouts", 0, 1)
    table = pq.read_table(path)
    path.unlink()
    served = {"propagate.alpha": 0.5, "propagate.keep": 2, "propagate.select": "shortest"}
    settings = {"reason.prune": "exact", **served}
    metadata = tables.Metadata(stage="reason", digest="d", settings=settings)
    tables.write_atomically(path, table, metadata)
    found = forecast_of(tmp_path)
    known = {pair for pair, one in found.items() if one.samples_kept is not None}
    assert known == {(0.5, 1), (0.5, 2)}
    known = {pair for pair, one in found.items() if one.trajectories is not None}
    assert known == {(0.5, 1), (0.5, 2)}
    random_ones = forecast_of(tmp_path, select="random")
    assert all(one.samples_kept is None for one in random_ones.values())


def test_the_command(tmp_path: Path) -> None:
    rows = [replace(row, sample_id=f"s{row.sample_id[1:]}") for row in make_rows(2, 30)]
    write(tmp_path, rows, rows)
    samples = [
        Sample(sample_id=name, source="[a]" if name < "s010" else "b/c=d", answer_type="number")
        for name in sorted({row.sample_id for row in rows})
    ]
    path = tables.shard_path(tmp_path / "samples", 0, 1)
    metadata = tables.Metadata(stage="ingest", digest="d")
    tables.write_atomically(path, tables.to_table(samples, Sample), metadata)
    before = sorted(tmp_path.rglob("*"))
    found = result_of("propagate-reward", "--run", tmp_path, "--what-if")
    shown = sophia("propagate-reward", "--run", tmp_path, "--what-if")
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"
    assert found["samples"] == 30 and found["pruned_for"] == []
    assert len(found["yields"]) == len(ALPHAS) * len(KEEPS)
    assert "mean tokens" in shown.stdout and "0.625" in shown.stdout

    done = sophia("propagate-reward", "--run", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "funnel by source" in done.stdout and "[a]" in done.stdout and "b/c=d" in done.stdout
    assert "funnel by answer type" not in done.stdout, "there is only one"
    assert "share of right rollouts" in done.stdout and "unjudged" in done.stdout
    again = result_of("propagate-reward", "--run", tmp_path)
    figures = again["propagate-reward"]["figures"]
    assert figures["funnel_by_source"]["[a]"]["samples"] == 10
    assert figures["funnel_by_source"]["b/c=d"]["samples"] == 20
    assert figures["funnel_by_answer_type"] == {"number": figures["funnel"]}
    status = result_of("status", "--run", tmp_path)
    assert status["funnel"] == figures["funnel"]
    yields = {(one["alpha"], one["keep"]): one for one in found["yields"]}
    assert yields[0.75, 1]["trajectories"] == figures["funnel"]["trajectories"]
