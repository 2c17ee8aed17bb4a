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
