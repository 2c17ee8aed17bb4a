"""Each benchmark in its published layout: what is asked, what the gold is, and what goes wrong."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from data.errors import ConfigError, InputError
from stages.benchmarks import PAPER, Benchmark, Question, load_benchmark
from stages.benchmarks.mmmu import PUBLISHED as MMMU
from stages.benchmarks.mmmu_pro import PUBLISHED as MMMU_PRO
from stages.benchmarks.published import fetch
from stages.prompts import answer_messages
from tests.data.pictures import png
from tests.stages.benchmarks import layouts

NUM_QUESTIONS = {
    **{"mmmu": 31, "mmmu_pro": 2, "mathvista": 4, "mathverse": 2, "dynamath": 20},
    **{"mathvision": 6, "mv_math": 3, "olympiadbench": 20},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmarks")
    layouts.write_all(root)
    return root


def questions(benchmark: Benchmark) -> list[Question]:
    return list(benchmark.read(0, benchmark.num_questions))


def named(root: Path, name: str) -> dict[str, Question]:
    return {each.sample.sample_id: each for each in questions(load_benchmark(name, 0, root))}


@pytest.mark.parametrize("name", PAPER)
def test_every_row_becomes_a_question_that_can_be_asked(root: Path, name: str) -> None:
    benchmark = load_benchmark(name, 0, root)
    found = questions(benchmark)
    assert benchmark.num_questions == len(found) == NUM_QUESTIONS[name]
    assert len({each.sample.sample_id for each in found}) == len(found)
    for each in found:
        assert each.sample.error is None
        assert each.sample.source == name
        assert each.sample.answer
        messages = answer_messages(vars(each.sample), None)
        pictures = [part for part in messages[0]["content"] if part["type"] == "image"]
        assert len(pictures) == len(each.sample.images or [])


@pytest.mark.parametrize("name", PAPER)
def test_any_stretch_of_questions_can_be_read_and_the_identity_holds(root: Path, name: str) -> None:
    benchmark = load_benchmark(name, 0, root)
    assert list(benchmark.read(1, 2)) == questions(benchmark)[1:2]
    assert load_benchmark(name, 0, root).digest == benchmark.digest
    assert load_benchmark(name, 1, root).num_questions == 1
    assert load_benchmark(name, 1, root).digest != benchmark.digest


def test_mmmu_places_images_where_question_and_options_mention_them(root: Path) -> None:
    sample = named(root, "mmmu")["validation_Math_1"].sample
    assert [image["bytes"] for image in sample.images or []] == [png(2), png(1), png(3)]
    kinds = [
        part.get("text", "IMAGE").strip()
        for part in answer_messages(vars(sample), None)[0]["content"]
    ]
    assert kinds == [
        "IMAGE",
        "shows a bar. Which of these is as tall?\n\n(A)",
        "IMAGE",
        "(B)",
        "IMAGE",
        "(C) neither\n\n\nAnswer with the option's letter from the given choices directly.",
    ]


def test_mmmu_lists_of_gold_answers_are_alternatives(root: Path) -> None:
    question = named(root, "mmmu")["validation_Math_2"]
    assert (question.sample.answer, question.alternatives) == ("24/7", ("3.429",))
    assert question.labels == {"subject": "Math", "type": "open", "difficulty": "Hard"}


def test_vision_only_benchmarks_show_no_options_but_know_them(root: Path) -> None:
    of_pro = named(root, "mmmu_pro")["test_Physics_0"]
    of_verse = named(root, "mathverse")["2"]
    assert of_pro.options[2] == "reason c"
    assert of_verse.options == ("30°", "60°")
    for question in (of_pro, of_verse):
        text = answer_messages(vars(question.sample), None)[0]["content"][-1]["text"]
        assert not any(option in text for option in question.options)


def test_mathvista_asks_the_published_query(root: Path) -> None:
    found = named(root, "mathvista")
    assert found["1"].options == ("red", "blue", "red")
    text = answer_messages(vars(found["1"].sample), None)[0]["content"][-1]["text"]
    assert text == (
        "Hint: Answer it.\nQuestion: How high is the bar?\nChoices:\n(A) red\n(B) blue\n(C) red"
    )
    assert (found["2"].sample.question or "").endswith("(Unit: cm)")
    assert found["3"].details == {"kind": "float", "decimals": 1}


def test_dynamath_variants_of_a_question_are_a_cluster(root: Path) -> None:
    benchmark = load_benchmark("dynamath", 0, root)
    assert benchmark.has_variants
    assert {each.cluster for each in questions(benchmark)} == {"1", "2"}
    assert "three-digit" in (questions(benchmark)[0].sample.question or "")


def test_mathvision_golds_and_options_are_put_right(root: Path) -> None:
    found = named(root, "mathvision")
    assert found["3"].sample.answer == r"\frac{36}{13}"
    asked = "How long is the side?"
    assert found["1"].sample.question == f"{asked}\n(A) 2\n(B) 3\n(C) 4\n(D) 5\n(E) 6\n"
    assert found["1"].options == ("2", "3", "4", "5", "6")
    for name in ("2", "5"):
        assert (found[name].sample.question, found[name].options) == (asked, ()), "in the image"
    picture, text = answer_messages(vars(found["6"].sample), None)[0]["content"]
    assert picture["type"] == "image", "the whole question"
    assert text["text"].startswith("Please solve the problem")


def test_mv_math_alternatives_and_images(root: Path) -> None:
    found = named(root, "mv_math")
    assert (found["2"].sample.answer, found["2"].alternatives) == ("12", ("12.0",))
    digests = [hashlib.sha256(image["bytes"]).digest() for image in found["1"].sample.images or []]
    assert digests == [hashlib.sha256(png(number)).digest() for number in (0, 1)]


def test_mv_math_free_form_answers_as_its_card_calls_them(tmp_path: Path) -> None:
    rows = [{**row, "answer_type": "free-form"} for row in layouts.MV_MATH_ROWS[1:2]]
    layouts.write_mv_math(tmp_path, rows)
    question = named(tmp_path, "mv_math")["2"]
    assert (question.sample.answer, question.alternatives) == ("12", ("12.0",))


def test_olympiadbench_gold_answers_are_alternatives(root: Path) -> None:
    question = named(root, "olympiadbench")["OE_MM_maths_en_COMP/1"]
    assert (question.sample.answer, question.alternatives) == ("3.5", (r"\sqrt{17}",))


def test_olympiadbench_asks_in_the_language_of_the_question(root: Path) -> None:
    found = named(root, "olympiadbench")
    english = found["OE_MM_maths_en_COMP/2"].sample
    assert r"\boxed{multiple answers connected with commas}" in (english.hint or "")
    chinese = found["OE_TO_physics_zh_CEE/1"].sample
    assert chinese.hint is not None
    assert "物理" in chinese.hint
    assert r"以“所以最终答案是\boxed{答案}(单位)。”显式" in chinese.hint
    assert chinese.question == "一辆车在行驶。\n求速度。"
    assert chinese.images == []


def test_a_subset_is_named_behind_a_colon(root: Path) -> None:
    benchmark = load_benchmark("olympiadbench:OE_MM", 0, root)
    assert (benchmark.name, benchmark.num_questions) == ("olympiadbench-OE_MM", 10)
    with pytest.raises(ConfigError, match="no part whose name begins with 'TP'"):
        load_benchmark("olympiadbench:TP", 0, root)


@pytest.mark.parametrize("name", [name for name in PAPER if name != "mv_math"])
def test_a_missing_column_is_named(root: Path, tmp_path: Path, name: str) -> None:
    import datasets

    published = next(each for each in layouts.ALL if each.name == name)
    part, column = published.parts[0], published.columns[-1]
    saved = tmp_path / name / part.name / part.split
    whole = datasets.load_from_disk(root / name / part.name / part.split)
    whole.remove_columns(column).save_to_disk(saved)
    with pytest.raises(InputError, match=f"no column '{column}'"):
        load_benchmark(name, 0, tmp_path)


def test_a_missing_column_of_a_file_is_named(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in row if key != "grade"} for row in layouts.MV_MATH_ROWS]
    layouts.write_mv_math(tmp_path, rows)
    with pytest.raises(InputError, match="no column 'grade'"):
        load_benchmark("mv_math", 0, tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("image", None, "image: the row has none"),
        ("answer", None, "answer: the row has none"),
        ("options", "A, B and C", "row: it can't be read (no list"),
    ],
)
def test_what_a_row_lacks_is_its_own_error(
    tmp_path: Path, column: str, value: str | None, error: str
) -> None:
    part = MMMU_PRO.parts[0]
    first, second = layouts.mmmu_pro(part)
    layouts.write_part(tmp_path, MMMU_PRO, part, [{**first, column: value}, second])
    found = questions(load_benchmark("mmmu_pro", 0, tmp_path))
    assert (found[0].sample.error or "").startswith(error)
    assert found[1].sample.error is None


@pytest.mark.parametrize(
    ("name", "image", "answer"),
    [
        ("mmmu", "image_1", "answer"),
        ("mmmu_pro", "image", "answer"),
        ("mathvista", "decoded_image", "answer"),
        ("mathverse", "image", "answer"),
        ("dynamath", "decoded_image", "ground_truth"),
        ("mathvision", "decoded_image", "answer"),
        ("olympiadbench", "image_1", "final_answer"),
    ],
)
def test_every_benchmark_says_what_a_row_lacks(
    tmp_path: Path, name: str, image: str, answer: str
) -> None:
    published = next(each for each in layouts.ALL if each.name == name)
    for part in published.parts:
        rows = layouts.ROWS[name](part)
        asked = [row for row in rows if row.get("problem_version") != "Text Dominant"]
        asked[0][image] = None
        asked[-1][answer] = None
        layouts.write_part(tmp_path, published, part, rows)
    found = questions(load_benchmark(name, 0, tmp_path))
    errors = [each.sample.error or "" for each in found]
    assert any(error.startswith("image: the row has none") for error in errors)
    assert any(error.startswith("answer: the row has none") for error in errors)


def test_an_image_that_is_mentioned_must_be_there(tmp_path: Path) -> None:
    for part in MMMU.parts:
        rows = [{**row, "image_3": None} for row in layouts.mmmu(part)]
        layouts.write_part(tmp_path, MMMU, part, rows)
    found = named(tmp_path, "mmmu")
    assert (found["validation_Math_1"].sample.error or "").startswith("image: ")
    assert found["validation_Math_2"].sample.error is None


def test_a_missing_image_file_or_answer_is_an_error_of_its_row(tmp_path: Path) -> None:
    rows = [dict(row) for row in layouts.MV_MATH_ROWS]
    rows[0]["input_image"] = ["a.png", "gone.png"]
    rows[1]["answer"] = ""
    layouts.write_mv_math(tmp_path, rows)
    found = named(tmp_path, "mv_math")
    assert (found["1"].sample.error or "").startswith("image: ")
    assert found["2"].sample.error == "answer: the row has none"
    assert found["3"].sample.error is None


def test_images_may_lie_in_an_archive_or_any_folder(tmp_path: Path) -> None:
    layouts.write_mv_math(tmp_path)
    images = tmp_path / "mv_math" / "images"
    with zipfile.ZipFile(tmp_path / "mv_math" / "images.zip", "w") as archive:
        archive.write(images / "a.png", "MV-MATH/images/a.png")
    (images / "a.png").unlink()
    found = named(tmp_path, "mv_math")["1"].sample
    assert [image["bytes"] for image in found.images or []] == [png(0), png(1)]


def test_images_that_were_not_unpacked_are_no_failed_rows(tmp_path: Path) -> None:
    layouts.write_mv_math(tmp_path)
    shutil.rmtree(tmp_path / "mv_math" / "images")
    with pytest.raises(InputError, match="names 2 images"):
        load_benchmark("mv_math", 0, tmp_path)


def test_two_questions_of_one_name_are_refused(tmp_path: Path) -> None:
    layouts.write_mv_math(tmp_path, [layouts.MV_MATH_ROWS[0]] * 2)
    with pytest.raises(InputError, match="two questions called 1"):
        load_benchmark("mv_math", 0, tmp_path)


def test_a_copy_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sophia eval fetch mmmu"):
        load_benchmark("mmmu", 0, tmp_path)


def write_clone(folder: Path) -> None:
    """MMMU-Pro as its repository on the hub holds it: Parquet files and a card."""
    import datasets

    part = MMMU_PRO.parts[0]
    made = folder.parent / "made"
    layouts.write_part(made, MMMU_PRO, part, layouts.mmmu_pro(part))
    (folder / "vision").mkdir(parents=True)
    datasets.load_from_disk(made / "mmmu_pro" / "vision" / "test").to_parquet(
        folder / "vision" / "test-00000-of-00001.parquet"
    )
    files = [{"split": "test", "path": "vision/test-*"}]
    card = {"configs": [{"config_name": "vision", "data_files": files}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")


def test_a_clone_of_the_hub_repository_is_a_copy(tmp_path: Path) -> None:
    write_clone(tmp_path / "mmmu_pro")
    assert load_benchmark("mmmu_pro", 0, tmp_path).num_questions == 2


def test_a_fetched_copy_is_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clone(tmp_path / "MMMU" / "MMMU_Pro")  # which `datasets` takes before the hub's own
    monkeypatch.chdir(tmp_path)
    direct = load_benchmark("mmmu_pro", 0)
    for _ in range(2):  # what is there already is left as it is
        assert list(fetch(["mmmu_pro"], tmp_path / "copies")) == [tmp_path / "copies" / "mmmu_pro"]
    assert load_benchmark("mmmu_pro", 0, tmp_path / "copies").digest == direct.digest


def test_a_hub_that_can_not_be_reached_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="MathLLMs/MathVision"):
        list(fetch(["mathvision"], tmp_path))
