"""Where images stand in what a model is asked."""

import pytest

from stages.prompts import answer_messages, caption_messages


def asked(question: str, num_images: int) -> list[str]:
    """The content of the question, with `*` for each image."""
    sample = {"question": question, "images": [{}] * num_images}
    content = answer_messages(sample, None)[0]["content"]
    return [part.get("text", "*") for part in content]


@pytest.mark.parametrize(
    ("question", "num_images", "expected"),
    [
        ("How large?", 2, ["*", "*", "How large?"]),
        ("Is <image 1> <image 2>?", 2, ["Is ", "*", "*", "?"]),
        ("<image 2> is seen from above", 2, ["*", "*", " is seen from above"]),
        ("<image 1> and <image 1>", 1, ["*", " and <image 1>"]),
        ("<image 2> before <image 1>", 2, ["*", "*", "<image 2> before <image 1>"]),
        ("<image 3> is not there", 2, ["*", "*", "<image 3> is not there"]),
        ("<image 1>", 1, ["*"]),
        ("", 0, [""]),
    ],
)
def test_images_stand_where_they_are_mentioned(
    question: str, num_images: int, expected: list[str]
) -> None:
    assert asked(question, num_images) == expected


def test_a_caption_is_asked_for_with_the_images_first() -> None:
    sample = {"question": "<image 1> How large?", "images": [{}]}
    content = caption_messages(sample, "Describe it.")[0]["content"]
    assert content == [{"type": "image"}, {"type": "text", "text": "Describe it."}]
