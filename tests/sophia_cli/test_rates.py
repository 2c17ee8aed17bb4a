"""When a stage will be done, from the signs of life of those who run it."""

import time
from pathlib import Path

import pytest

from sophia_cli import console
from sophia_cli import pulse as sophia_pulse
from sophia_cli.console import ConsoleReport
from sophia_cli.pulse import pulse, read_pulses
from sophia_cli.run_dir import RunDir
from sophia_cli.status import read_status, stage_rates
from sophia_cli.status_report import show_status


def test_a_training_that_was_resumed_counts_from_its_checkpoint(tmp_path: Path) -> None:
    report = ConsoleReport()
    report.start("train", total=100, done=40)
    with pulse(tmp_path / "train-1.json", "train", "node1", report):
        report.advance(rows=1, tokens=10)
        (alive,) = read_pulses(tmp_path)
        alive |= {"done": 41, "rows_per_second": 0.5, "tokens_per_second": 5.0}
        assert stage_rates([alive], {})["train"] == {
            **{"table": None, "workers": 1, "rows": 41, "total": 100, "rows_per_second": 0.5},
            **{"tokens_per_second": 5.0, "eta_seconds": 118},
        }
        slow = alive | {"rows_per_second": 0.0}
        assert stage_rates([slow], {})["train"]["eta_seconds"] is None
    (ended,) = read_pulses(tmp_path)
    assert (ended["done"], ended["total"]) == (41, 100)
    assert stage_rates([ended], {}) == {}


def test_a_training_is_planned_in_rows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = ConsoleReport()
    report.start("plan", total=100, done=40, table="plan")
    with pulse(RunDir(tmp_path).pulse_folder / "train-1.json", "train", "node1", report):
        show_status(read_status(RunDir(tmp_path)), as_json=False)
    assert "train, plan: 40 of 100 rows" in capfd.readouterr().out


def test_progress_is_told_while_nothing_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "LINE_SECONDS", 0.2)
    monkeypatch.setattr(sophia_pulse, "INTERVAL_SECONDS", 0.1)
    report = ConsoleReport()
    report.start("reason", total=100, done=40)
    with pulse(tmp_path / "reason-1.json", "reason", "node1", report):
        time.sleep(1)
    assert capfd.readouterr().err.count("reason 40/100") > 1


def test_a_stage_is_where_most_of_its_workers_are() -> None:
    def at(table: str) -> dict[str, object]:
        rates = {"rows_per_second": 1.0, "tokens_per_second": 5.0}
        return {"stage": "reason", "is_alive": True, "total": 30, "table": table} | rates

    found = {
        "probes": {"rows": 16, "rows_under_way": 4},
        "rollouts": {"rows": 0, "rows_under_way": 2},
    }
    rate = stage_rates([at("probes"), at("rollouts"), at("probes")], found)["reason"]
    assert (rate["table"], rate["workers"], rate["rows"]) == ("probes", 2, 20)
    assert rate["eta_seconds"] == 5
