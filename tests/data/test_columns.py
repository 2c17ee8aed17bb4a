import pytest

from data.columns import choose_columns
from data.errors import ConfigError, InputError


def chosen(columns, **mapping):
    found = choose_columns(columns, mapping)
    return {role: names for role, names in found.items() if names}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["image", "problem", "answer"], ["problem", "image", "answer"]),
        (["images", "prompt", "gold"], ["prompt", "images", "gold"]),
        (["Query", "Image_Path", "Label"], ["Query", "Image_Path", "Label"]),
        (
            ["pid", "question", "image", "decoded_image", "answer", "solution"],
            ["question", "decoded_image", "answer"],
        ),
    ],
)
def test_common_names_are_found(columns, expected):
    found = chosen(columns)
    assert [found["question"], found["image"], found["answer"]] == [[name] for name in expected]


def test_numbered_image_columns_are_taken_in_their_order():
    columns = ["question", "image_10", "image_2", "image_1", "image_type"]
    assert chosen(columns)["image"] == ["image_1", "image_2", "image_10"]


@pytest.mark.parametrize("role", ["answer_type", "difficulty"])
def test_what_has_many_meanings_is_taken_only_where_it_is_mapped(role):
    assert role not in chosen(["question", role])
    assert chosen(["question", "kind"], **{role: "kind"})[role] == ["kind"]


def test_a_mapped_column_wins():
    assert chosen(["question", "text"], question="text")["question"] == ["text"]


def test_a_mapped_column_that_is_not_there_names_the_others_and_the_nearest():
    with pytest.raises(InputError) as error:
        chosen(["question", "solution", "picture"], answer="solutions")
    assert "Did you mean 'solution'?" in str(error.value)
    assert "question, solution, picture" in str(error.value)


def test_an_unknown_name_in_the_mapping_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"Did you mean 'question'\?"):
        chosen(["question"], questions="question")


def test_no_question_column_is_an_input_error():
    with pytest.raises(InputError, match="--map question=COLUMN"):
        chosen(["image", "text"])
