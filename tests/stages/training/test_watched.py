"""What ranks do when they are asked to stop before the first step, or have no row left in one."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.training.plan import Plan
from stages.training.scores import PARTS
from tests.stages.training.group_runs import write_group_run
from tests.stages.training.runs import make_config, make_rows, write_run
from tests.stages.training.standing import Standing
from tests.stages.training.test_gradients import make_task

NEVER = 1_000_000
POLLS = 7


def watch(ranks: Standing, work: Path, num_ranks: int, polls: int) -> list[dict[str, Any]]:
    ranks.run(num_ranks, "tests.stages.training.watched", work / "task.json", work, polls)
    return [json.loads((work / f"rank-{rank}.json").read_text()) for rank in range(num_ranks)]


def test_a_stop_is_heard_between_the_micro_batches_that_are_scored(
    tmp_path: Path, policy: Path, ranks: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_group_run(tmp_path, 8)
    config = make_config(run_dir, objective="grpo", micro_batch_size=1)
    work = make_task(run_dir, policy, config, monkeypatch)
    (found,) = watch(ranks, work, 1, POLLS)
    assert found["was_stopped"]
    assert 0 < len(found["lengths"]) < POLLS
    assert not list((work / "plan" / PARTS).iterdir()), "a part is there when it is whole"
    assert len(watch(ranks, work, 1, NEVER)[0]["lengths"]) > 8 * 4


@pytest.mark.parametrize("polls", [0, POLLS])
def test_a_stop_is_heard_between_the_micro_batches_of_the_ratio(
    polls: int,
    tmp_path: Path,
    policy: Path,
    ranks: Standing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{**row, "behavior_logprob": -9.0} for row in make_rows(16)]
    run_dir = write_run(tmp_path, rows)
    work = make_task(run_dir, policy, make_config(run_dir, micro_batch_size=1), monkeypatch)
    (found,) = watch(ranks, work, 1, polls)
    assert found["was_stopped"]
    assert len(found["lengths"]) < max(1, polls)


def test_the_shortest_row_goes_along_with_an_empty_micro_batch(
    tmp_path: Path, policy: Path, ranks: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**row, "response": f"{'one ' * 30}{row['response']}"} for row in make_rows(3)]
    rows[1]["response"] = "short"
    run_dir = write_run(tmp_path, rows)
    config = make_config(run_dir, micro_batch_size=1, num_ranks=2)
    work = make_task(run_dir, policy, config, monkeypatch)
    plan = Plan.open(work / "plan")
    assert plan.steps[0][0] != plan.shortest(plan.steps[0])
    long, middle, short = sorted((length - 1 for length in plan.lengths), reverse=True)
    seen = watch(ranks, work, 2, NEVER)
    assert [each["lengths"] for each in seen] == [[[short], [middle]], [[long], [short]]]
