"""Training questions that are a benchmark's are found; those that only look alike are kept."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from data.errors import InputError
from data.overlap import Exclusions, words_of
from data.records import Sample
from tests.command import result_of, sophia
from tests.data.pictures import encode, png, truncated_png
from tests.stages.benchmarks import layouts

LONG = (
    "A ladder of length 5 m leans against a vertical wall, with its foot 3 m from the wall. How "
    "high does it reach?"
)
SHORT = "How many primes lie below 100?"


def drawing(number: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    image = Image.new("RGB", (96, 96), "white")
    pen = ImageDraw.Draw(image)
    pen.polygon([(10, 80), (20 + 17 * number, 10), (85, 60 + number)], outline="black", width=3)
    pen.ellipse((30, 30 + 9 * number, 60, 70), fill="gray")
    return image.resize(size)


def sample(question: str, *images: bytes) -> Sample:
    pictures = [{"bytes": data, "path": None} for data in images]
    return Sample(sample_id="s", question=question, answer="1", images=pictures)


@pytest.fixture
def known() -> Exclusions:
    found = Exclusions()
    found.add("olympiad", "long", LONG, [])
    found.add("olympiad", "short", SHORT, [])
    found.add("olympiad", "chinese", "一个长方形的长是五米，宽是三米，求它的面积。", [])
    found.add("vista", "drawn", "How large is it?", [encode(drawing(1))])
    return found


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (LONG, "long"),
        (LONG.upper().replace(",", " ;").replace("5", "５"), "long"),
        ("Solve this. <image 1> " + LONG + " Give metres.", "long"),
        ("How many primes lie below 100 ?", "short"),
        ("有一个长方形的长是五米，宽是三米，求它的面积。", "chinese"),
        (LONG.replace("leans", "is put").replace("its foot", "one end"), None),
        ("How many primes lie below 200?", None),
        ("How many of primes lie below 100?", "short"),
        ("How many squares are there below 100?", None),
        ("How large is it?", None),
    ],
)
def test_by_words(known: Exclusions, question: str, expected: str | None) -> None:
    found = known.find(sample(question))
    assert (found.question if found else None) == expected
    assert found is None or found.kind == "words"


def test_short_questions_about_images_are_told_apart_by_the_images(known: Exclusions) -> None:
    assert known.find(sample(SHORT, encode(drawing(3)))) is None


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_by_image(known: Exclusions) -> None:
    same = [encode(drawing(1)), jpeg(drawing(1)), encode(drawing(1, (192, 192)))]
    for data in same:
        found = known.find(sample("Something else?", png(3), data))
        assert found is not None
        assert (found.kind, found.benchmark, found.question) == ("image", "vista", "drawn")
        assert found.detail.startswith("image 2 differs in")
    for data in (encode(drawing(2)), encode(drawing(4)), png("white"), truncated_png()):
        assert known.find(sample("Something else?", data)) is None


def test_words_have_no_case_width_or_marks() -> None:
    assert words_of("Ｆｉｎｄ <image_2> the 面积 of $x_1$!") == [
        "find",
        "the",
        "面",
        "积",
        "of",
        "x",
        "1",
    ]


def test_ingest_leaves_them_out_and_says_why(tmp_path: Path) -> None:
    layouts.write_mv_math(tmp_path / "root", [{**layouts.MV_MATH_ROWS[1], "question": LONG}])
    rows = [{"question": LONG, "answer": "4"}, {"question": "What is 1 + 1?", "answer": "2"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["ingest", tmp_path / "rows.jsonl", "--run", tmp_path / "run"]
    arguments += ["--exclude-benchmarks", "--set", "eval.benchmarks=mv_math"]
    arguments += ["--set", f"eval.root={tmp_path / 'root'}"]
    found = result_of(*arguments)
    assert (found["num_samples"], found["num_excluded"]) == (1, {"mv_math, words": 1})
    listed = [json.loads(line) for line in (tmp_path / "run" / "excluded.jsonl").open()]
    assert [(row["row"], row["text"], row["benchmark"], row["question"]) for row in listed] == [
        (0, LONG, "mv_math", "2")
    ]
    assert result_of(*arguments)["num_samples"] == 1, "the same command again is complete"
    assert sophia(*arguments[:4]).returncode == 3, "without it these are other samples"


def test_nothing_left_is_an_input_error(known: Exclusions, tmp_path: Path) -> None:
    from data.ingest import ingest
    from tests.reports import SilentReport

    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": LONG, "answer": "4"}))
    with pytest.raises(InputError, match="but those of benchmarks"):
        ingest(
            str(tmp_path / "rows.jsonl"),
            tmp_path / "run" / "samples",
            mapping={},
            limit=None,
            num_shards=None,
            split="train",
            image_folder=None,
            report=SilentReport(),
            should_stop=lambda: False,
            exclusions=known,
        )
