import base64
from pathlib import Path

import pytest

from data.rows import make_sample, read_choices, read_difficulty, text_of
from tests.data.pictures import png

COLUMNS = {"question": ["question"], "image": ["image"], "answer": ["answer"]}
COLUMNS |= {"choices": ["choices"], "hint": [], "source": [], "answer_type": []}


def sample(folder=Path(), **row):
    return make_sample({"question": "How many?", **row}, COLUMNS, folder=folder, source="test")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        ("  \n", None),
        (" 3 ", " 3 "),
        (3, "3"),
        (3.0, "3"),
        (3.10, "3.1"),
        (1e300, "1e+300"),
        (float("nan"), None),
        (True, "True"),
        ([], None),
        (["3"], "3"),
        ([3.0], "3"),
        (["3", "4"], '["3", "4"]'),
        ([3, "é"], '[3, "é"]'),
        ({"x": 1}, '{"x": 1}'),
        ("\ud800", "?"),
    ],
)
def test_a_cell_as_text(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        (None, None),
        ([], None),
        ("", None),
        ("[]", None),
        ("None", None),
        (["1", "2"], ["1", "2"]),
        ([1, 2.5, None], ["1", "2.5", ""]),
        ("['a', \"b'c\"]", ["a", "b'c"]),
        ('["a", null]', ["a", ""]),
        ("('a', 'b')", ["a", "b"]),
        ({"A": "x", "B": "y", "C": None}, ["x", "y"]),
        ('{"A": "x", "B": "y"}', ["x", "y"]),
    ],
)
def test_choices_are_read(value, choices):
    assert read_choices(value) == choices


@pytest.mark.parametrize("value", ["A. one B. two", "__import__('os')", "3", 3, "[" * 5000])
def test_what_is_no_list_of_choices(value):
    with pytest.raises(ValueError, match="no list"):
        read_choices(value)
    assert sample(choices=value).error.startswith("choices: ")


@pytest.mark.parametrize(
    ("value", "difficulty"),
    [
        (None, None),
        ("", None),
        (float("nan"), None),
        (0, 0.0),
        (1, 1.0),
        (0.25, 0.25),
        ("0.5", 0.5),
    ],
)
def test_difficulty_is_read(value, difficulty):
    assert read_difficulty(value) == difficulty


@pytest.mark.parametrize("value", [3, -0.1, "hard", True, float("inf"), "nan", {"level": 1}])
def test_what_is_no_difficulty(value):
    with pytest.raises(ValueError, match="no number from 0 to 1"):
        read_difficulty(value)


def test_images_in_every_form_are_the_same_sample(tmp_path):
    data = png()
    (tmp_path / "a.png").write_bytes(data)
    forms = [
        data,
        [data],
        {"bytes": data, "path": None},
        {"bytes": data, "path": "elsewhere/b.png"},
        [{"bytes": data, "path": None}],
        {"bytes": None, "path": "a.png"},
        "a.png",
        ["a.png"],
        str(tmp_path / "a.png"),
        "data:image/png;base64," + base64.b64encode(data).decode(),
    ]
    samples = [sample(tmp_path, image=form) for form in forms]
    assert {made.sample_id for made in samples} == {samples[0].sample_id}
    assert all(made.images[0]["bytes"] == data for made in samples)


def test_several_images_keep_their_order():
    made = sample(image=[png(1), png(2)])
    assert [image["bytes"] for image in made.images] == [png(1), png(2)]
    assert made.sample_id != sample(image=[png(2), png(1)]).sample_id


@pytest.mark.parametrize("value", [None, "", [], {"bytes": None, "path": None}])
def test_no_image_is_fine(value):
    made = sample(image=value)
    assert (made.images, made.error) == ([], None)


def test_an_absolute_path_is_not_kept(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    assert sample(image=str(tmp_path / "a.png")).images[0]["path"] == "a.png"
    assert sample(tmp_path, image="./a.png").images[0]["path"] == "./a.png"


def test_the_id_says_the_content_alone():
    made = sample(image=png(), answer="3", choices=["3", "4"])
    again = make_sample(
        {"question": "How many?", "image": png(), "answer": 3.0, "choices": "['3', '4']"},
        COLUMNS,
        folder=Path("elsewhere"),
        source="other",
    )
    assert again.sample_id == made.sample_id
    others = [
        sample(image=png(7), answer="3", choices=["3", "4"]),
        sample(image=png(), answer="4", choices=["3", "4"]),
        sample(image=png(), answer="3", choices=["4", "3"]),
        sample(image=png(), answer="3"),
        sample(question="How?", image=png(), answer="3", choices=["3", "4"]),
    ]
    assert len({made.sample_id, *(other.sample_id for other in others)}) == 6


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"question": " "}, "question: it is empty"),
        ({"question": None}, "question: it is empty"),
        ({"question": [{"role": "user"}]}, "question: it is no text"),
        ({"image": "no.png"}, "missing_file: no.png can't be read"),
        ({"image": "a\0b"}, "missing_file: "),
        ({"image": "x" * 10_000}, "missing_file: "),
        ({"image": 7}, "image: a value of type int is no image"),
        ({"image": "data:image/png;base64,a"}, "image: its data URL can't be decoded"),
    ],
)
def test_rows_that_cannot_be_used_become_samples_with_an_error(row, error):
    made = sample(**row)
    assert made.error.startswith(error)
    assert made.images == []
    assert made.sample_id == sample(**row).sample_id


def test_missing_files_differ():
    assert sample(image="a.png").sample_id != sample(image="b.png").sample_id


def test_no_choices_is_no_choices():
    assert sample(choices="[]").sample_id == sample(choices=None).sample_id
    assert sample(choices="one").sample_id != sample(choices="two").sample_id


def test_a_missing_one_of_several_images_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    for gap in (None, "", {"bytes": None, "path": None}):
        assert "missing" in sample(tmp_path, image=["a.png", gap]).error
    assert sample(tmp_path, image=None).error is None
