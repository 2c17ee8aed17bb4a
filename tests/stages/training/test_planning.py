import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import ConfigError, InputError
from stages.training import planning
from stages.training.config import Mixture
from stages.training.mixture import Source, draw
from stages.training.plan import Plan
from stages.training.planning import make_plan, make_steps
from stages.training.render import Example, Renderer
from tests.stages.training.runs import make_config, make_rows, picture


def plan_rows(
    folder: Path, policy: Path, rows: list[dict[str, Any]], digest: str = "d", **changes: Any
) -> Plan:
    folder.mkdir(exist_ok=True)
    (folder / "system.txt").write_text("Think.")
    config = make_config(folder, **changes)
    examples = (
        Example(
            sample={
                "question": row["question"],
                "images": [{"bytes": image, "path": None} for image in row["images"]],
            },
            response=row["response"],
            reward=row["reward"],
        )
        for row in rows
    )
    plan = make_plan(
        folder / "plan",
        digest,
        examples,
        partial(Renderer, policy, config.max_length, "Think."),
        config,
        seed=7,
        should_stop=lambda: False,
    )
    assert plan is not None
    return plan


def alone(count: int) -> list[list[int]]:
    return [[row] for row in range(count)]


def test_every_row_is_in_each_epoch_once() -> None:
    steps = make_steps(alone(10), [[10, 11], [12, 12]], 5, seed=1)
    assert [len(step) for step in steps] == [5, 5, 5, 5, 4]
    order = [row for step in steps for row in step]
    assert Counter(order[:12]) == Counter(range(12))
    assert Counter(order[12:]) == Counter([*range(10), 12, 12])
    assert order[:10] != sorted(order[:10])


def test_the_order_follows_from_the_seed() -> None:
    assert make_steps(alone(50), [[]], 8, seed=1) == make_steps(alone(50), [[]], 8, seed=1)
    assert make_steps(alone(50), [[]], 8, seed=1) != make_steps(alone(50), [[]], 8, seed=2)


def test_groups_are_in_a_step_together() -> None:
    groups = [[3 * number, 3 * number + 1, 3 * number + 2] for number in range(5)]
    steps = make_steps(groups, [[], []], 7, seed=1)
    assert [len(step) for step in steps] == [6, 6, 6, 6, 6]
    assert all(step[start : start + 3] in groups for step in steps for start in (0, 3))
    assert Counter(row for step in steps for row in step) == Counter([*range(15)] * 2)
    assert make_steps([[0, 1, 2]], [[]], 2, seed=1) == [[0, 1, 2]], "a group is never cut"


def test_draws_repeat_nothing_before_all_were_drawn() -> None:
    drawn = draw(5, 12, seed=3)
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == list(range(5))
    assert len(drawn) == 12
    assert draw(5, 12, seed=3) == drawn


def test_micro_batches_cover_a_step_and_every_rank_has_as_many(
    tmp_path: Path, policy: Path
) -> None:
    plan = plan_rows(tmp_path, policy, make_rows(11), batch_size=11)
    for size, num_ranks in ((1, 1), (4, 1), (4, 2), (16, 1), (3, 4), (8, 16)):
        dealt = plan.micro_batches(0, size, num_ranks)
        assert len(dealt) == num_ranks
        assert len({len(batches) for batches in dealt}) == 1
        assert sorted(row for batches in dealt for batch in batches for row in batch) == list(
            range(11)
        )
        assert max(len(batch) for batches in dealt for batch in batches) <= size


def test_a_plan_holds_tokens_and_each_image_once(tmp_path: Path, policy: Path) -> None:
    rows = make_rows(6)
    rows[2]["images"] = rows[1]["images"]
    plan = plan_rows(tmp_path, policy, rows)
    assert plan.row(1).images == plan.row(2).images == (0,)
    assert plan.image(0) == rows[1]["images"][0]
    assert plan.row(0).images == ()
    assert plan.row(3).reward == 0.75
    assert plan.response_lengths[4] == len(plan.row(4).response_ids)


def test_rejected_rows_are_counted_by_reason(tmp_path: Path, policy: Path) -> None:
    rows = make_rows(6)
    rows[0]["reward"], rows[1]["reward"] = 0.0, float("nan")
    rows[2]["response"] = "<IMG_CONTEXT>"
    plan = plan_rows(tmp_path, policy, rows)
    assert plan.num_trajectories == 3
    assert plan.rejected == {
        "the response holds an image token": 1,
        "the reward is not positive": 2,
    }


def test_nothing_left_to_train_on(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(InputError, match="alpha"):
        plan_rows(tmp_path / "empty", policy, [])
    with pytest.raises(InputError, match="longer than max_length: 3"):
        plan_rows(tmp_path / "long", policy, make_rows(3), max_length=10)


def test_a_finished_plan_is_reopened_and_another_one_replaced(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan_rows(tmp_path, policy, make_rows(6))
    assert plan_rows(tmp_path, policy, []) == made
    assert plan_rows(tmp_path, policy, make_rows(4), digest="other").num_rows == 4
    monkeypatch.setattr(planning, "VERSION", planning.VERSION + 1)
    assert plan_rows(tmp_path, policy, make_rows(5), digest="other").num_rows == 5


def test_extra_data_from_jsonl_parquet_and_the_world(tmp_path: Path, policy: Path) -> None:
    (tmp_path / "image.png").write_bytes(picture(5))
    lines = [
        {"question": "1 + 1?", "response": "<think> </think> 2"},
        {"prompt": "And here?", "response": "A star.", "image": "image.png"},
        {"question": "2 + 2?", "response": "4", "system": "Be brief."},
    ]
    (tmp_path / "text.jsonl").write_text("\n".join(map(json.dumps, lines)))
    images = [[{"bytes": picture(number), "path": None}] for number in range(3)]
    table = pa.table({"question": ["What?"] * 3, "response": ["Blue."] * 3, "images": images})
    pq.write_table(table, tmp_path / "general.parquet")
    mix = {
        "text": {"path": str(tmp_path / "text.jsonl"), "weight": 0.5},
        "general": {"path": str(tmp_path / "general.parquet"), "weight": 0.2},
        "described": {"path": "world:text", "weight": 0.1},
    }
    plan = plan_rows(tmp_path, policy, make_rows(10), mix=mix, batch_size=100, max_length=4096)
    assert (plan.num_trajectories, plan.num_rows) == (10, 10 + 3 + 2 + 1)
    assert [len(step) for step in plan.steps] == [10 + 5 + 2 + 1]
    counted = Counter(plan.steps[0])
    assert sorted(counted.values(), reverse=True)[:2] == [2, 2], "3 rows of text are drawn 5 times"
    assert all(plan.row(number).reward == 1 for number in range(10, 16))


@pytest.mark.parametrize(
    ("path", "message"),
    [("missing.jsonl", "no JSONL or Parquet"), ("world:nothing", "no split 'nothing'")],
)
def test_extra_data_that_is_not_there(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(Source("extra", path, 3, seed=0).examples())


def test_extra_data_without_a_response(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"question": "?"}')
    with pytest.raises(InputError, match="Row 0 of"):
        list(Source("extra", str(tmp_path / "bad.jsonl"), 1, seed=0).examples())


@pytest.mark.parametrize("line", ['["a", "list"]', "5", "null", '"text"', "{", "\udcff"])
def test_extra_data_that_is_no_object(tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(line.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="Line 1 of"):
        list(Source("extra", str(tmp_path / "bad.jsonl"), 1, seed=0).examples())


def test_images_of_extra_data(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(picture(5))
    given = [
        *("image.png", {"path": "image.png"}, {"bytes": None, "path": str(tmp_path / "image.png")}),
        *({"bytes": None, "path": None}, {}, 5, [None], {"path": 5}),
    ]
    lines = [{"question": "?", "response": "a", "images": images} for images in given]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    examples = Source("extra", str(tmp_path / "rows.jsonl"), len(given), seed=0).examples()
    images = [example.sample["images"] for _, example in examples]
    assert images[:3] == [[{"bytes": None, "path": str(tmp_path / "image.png")}]] * 3
    assert images[4] == []
    nothing = [{"bytes": None, "path": None}]
    assert [images[3], *images[5:]] == [nothing] * 4, "the plan rejects them"


def test_planning_can_be_stopped(tmp_path: Path, policy: Path) -> None:
    config = make_config(tmp_path)
    sample = {"question": "?", "images": []}
    examples = iter([Example(sample=sample, response="a")] * 3)
    make_renderer = partial(Renderer, policy, 100, "Think.")
    plan = make_plan(
        tmp_path / "plan", "d", examples, make_renderer, config, seed=0, should_stop=lambda: True
    )
    assert plan is None
    assert not (tmp_path / "plan" / "plan.json").exists()


def plan_warm_up(
    folder: Path, policy: Path, rows: list[dict[str, Any]], **parts: dict[str, Any]
) -> Plan:
    path = folder / "extra.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mix = {name: Mixture(path=str(path), **values) for name, values in parts.items()}
    config = make_config(folder, mix=mix, num_epochs=2, objective="sft")
    make_renderer = partial(Renderer, policy, config.max_length, "Think.")
    plan = make_plan(
        folder / "plan", "d", None, make_renderer, config, seed=7, should_stop=lambda: False
    )
    assert plan is not None
    return plan


def test_a_warm_up_takes_the_files_of_the_mixture_whole(tmp_path: Path, policy: Path) -> None:
    rows = [{"question": f"{number}?", "response": f"{number}."} for number in range(6)]
    rows.append({"question": "?", "response": ""})
    plan = plan_warm_up(tmp_path, policy, rows, whole={}, part={"rows": 3})
    assert plan.num_trajectories == 0
    assert plan.rejected == {"the response is empty": 2}
    drawn = [row for step in plan.steps for row in step]
    assert 2 * (6 + 3) - 2 <= len(drawn) <= 2 * (6 + 3)


def test_a_warm_up_over_nothing_says_what_is_the_matter(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(
        InputError, match=r"extra\.jsonl holds no rows\. Take train\.mix\.first out"
    ):
        plan_warm_up(tmp_path, policy, [], first={})
    rows = [{"question": "?", "response": "A star."}] * 4
    with pytest.raises(
        ConfigError, match=r"train\.mix\.first\.weight = 0\.1 of the 4 rows of .*one"
    ):
        plan_warm_up(tmp_path, policy, rows, first={"weight": 0.1})
    with pytest.raises(InputError, match=r"rejected \(the response is empty: 2\)"):
        plan_warm_up(tmp_path, policy, [{"question": "?", "response": ""}] * 2, first={})
