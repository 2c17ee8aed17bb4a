from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import AutoTokenizer, GenerationConfig

from data.images import open_image
from stages.training import render
from stages.training.render import Example, Renderer, Tokens, split_prefill
from stages.training.special_tokens import end_of_turn
from tests import tiny_families
from tests.stages.training.runs import picture

OPENS_THINKING = "<|im_start|>assistant\n<think>\n"


@pytest.fixture(scope="module")
def renderer(policy: Path) -> Renderer:
    return Renderer(policy, max_length=200, system="Think slowly.")


def example(response: str, *, images: int = 0, **changes: Any) -> Example:
    pictures = [{"bytes": picture(number), "path": None} for number in range(images)]
    return Example(
        sample={"question": "How many?", "images": pictures}, response=response, **changes
    )


def decoded(renderer: Renderer, tokens: Tokens | str) -> tuple[str, str]:
    assert isinstance(tokens, Tokens)
    decode = renderer.tokenizer.decode
    return decode(tokens.prompt_ids), decode(tokens.response_ids)


def test_a_thinking_response_gets_the_system_prompt(renderer: Renderer) -> None:
    prompt, response = decoded(renderer, renderer.render(example("<think> 1 </think> 2")))
    assert prompt == (
        "<|im_start|>system\nThink slowly.<|im_end|>\n"
        "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert response == "<think> 1 </think> 2<|im_end|>"


def test_a_direct_response_keeps_the_models_default(renderer: Renderer) -> None:
    prompt, _ = decoded(renderer, renderer.render(example("2")))
    assert prompt == "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"


def test_the_policys_own_response_keeps_the_prompt_that_it_answered(renderer: Renderer) -> None:
    own = renderer.tokenizer("2", add_special_tokens=False)["input_ids"]
    prompt, _ = decoded(renderer, renderer.render(example("2", token_ids=own)))
    assert prompt.startswith("<|im_start|>system\nThink slowly.<|im_end|>\n")


def test_every_image_is_as_many_placeholders_as_it_has_features(renderer: Renderer) -> None:
    prompt, _ = decoded(renderer, renderer.render(example("2", images=2)))
    assert prompt.count("<img>" + "<IMG_CONTEXT>" * 4 + "</img>") == 2


def test_an_unfinished_response_has_no_end_of_turn(renderer: Renderer) -> None:
    _, response = decoded(renderer, renderer.render(example("2 and", finished=False)))
    assert response == "2 and"


def test_the_policys_own_tokens_are_kept(renderer: Renderer) -> None:
    # One token per byte is not how the tokenizer would write a special token.
    own = renderer.tokenizer("4 2", add_special_tokens=False)["input_ids"]
    tokens = renderer.render(example("42", token_ids=own, finished=False))
    assert isinstance(tokens, Tokens)
    assert tokens.response_ids == own


@pytest.mark.parametrize(
    ("rejected", "reason"),
    [
        (example(""), "the response is empty"),
        (example("a <IMG_CONTEXT>"), "the response holds an image token"),
        (example("a </img>"), "the response holds an image token"),
        (example("a<|im_end|>b"), "the response holds an end of turn"),
        (example("a<|im_end|>", finished=False), "the response holds an end of turn"),
        (example("a" * 200), "longer than max_length"),
        (example("a", token_ids=[100_000]), "tokens that the policy does not have"),
        (
            Example(sample={"question": "?", "images": [{"bytes": b"no image"}]}, response="a"),
            "image",
        ),
        *(
            (Example(sample={"question": "?", "images": [image]}, response="a"), "image")
            for image in (
                {"path": "/no/file"},
                {"path": "null\0byte"},
                {"bytes": None, "path": None},
                {"bytes": None},
                {"bytes": "no bytes", "path": 5},
            )
        ),
        (example("a", token_ids=[-1]), "tokens that the policy does not have"),
        (example("a \ud800"), "the text is no Unicode"),
    ],
)
def test_rejected_with_a_reason(renderer: Renderer, rejected: Example, reason: str) -> None:
    tokens = renderer.render(rejected)
    assert isinstance(tokens, str)
    assert reason in tokens


def test_a_row_of_just_max_length_is_kept(renderer: Renderer, policy: Path) -> None:
    tokens = renderer.render(example("a" * 100))
    assert isinstance(tokens, Tokens)
    tight = Renderer(policy, len(tokens.prompt_ids) + len(tokens.response_ids), "Think slowly.")
    assert tight.render(example("a" * 100)) == tokens
    assert tight.render(example("a" * 101)) == "longer than max_length"


@pytest.mark.parametrize(
    ("response", "prompt", "rest"),
    [
        ("<think>\nso</think> 2", OPENS_THINKING, "so</think> 2"),
        ("<think> so</think> 2", "<|im_start|>assistant\n", "<think> so</think> 2"),
        ("2", "<|im_start|>assistant\n", "2"),
    ],
)
def test_the_opening_of_thinking_is_there_once(response: str, prompt: str, rest: str) -> None:
    assert split_prefill(OPENS_THINKING, response) == (prompt, rest)


def test_think_in_the_question_is_no_prefill() -> None:
    text = "user\nwhat is <think>?\nassistant\n"
    assert split_prefill(text, "<think> a") == (text, "<think> a")


def test_the_end_of_turn_is_what_the_template_writes_if_generation_stops_there(
    renderer: Renderer,
) -> None:
    vocabulary = renderer.tokenizer.get_vocab()
    ends, text_ends = vocabulary["<|im_end|>"], vocabulary["<|endoftext|>"]
    assert end_of_turn(renderer.processor, frozenset({ends, text_ends})) == ends
    assert end_of_turn(renderer.processor, frozenset({text_ends})) == ends


def test_images_of_a_question_are_looked_at_once(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bytes] = []

    def count(data: bytes) -> Image.Image:
        opened.append(data)
        return open_image(data)

    monkeypatch.setattr(render, "open_image", count)
    one, two = (renderer.render(example(text, images=2)) for text in ("2", "3"))
    assert isinstance(one, Tokens) and isinstance(two, Tokens)
    assert (one.prompt_ids, len(opened)) == (two.prompt_ids, 2)
    other = renderer.render(example("2", images=1))
    assert isinstance(other, Tokens) and other.prompt_ids != one.prompt_ids
    assert renderer.render(example("2", images=2)) == one


PLACEHOLDERS = {
    "internvl": ["<IMG_CONTEXT>", "<img>", "</img>", "<video>"],
    "llava": ["<image>"],
    "qwen2_5_vl": ["<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"],
    "qwen3_vl": ["<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"],
}


@pytest.mark.parametrize("family", PLACEHOLDERS)
def test_text_that_stands_for_an_image_is_rejected(family: str, tmp_path: Path) -> None:
    tiny_families.save(family, tmp_path)
    renderer = Renderer(tmp_path, max_length=200, system="Think.")
    question = {"question": "How many?"}
    for number in (0, 1):
        images = {"images": [{"bytes": picture(1, (56, 56))}] * number}
        assert isinstance(renderer.render(Example(sample=question | images, response="2")), Tokens)
        for literal in PLACEHOLDERS[family]:
            for asked in (
                {"question": f"What is {literal}?"},
                {"question": "?", "hint": literal},
                {"question": "Which?", "choices": ["a", f"b{literal}"]},
            ):
                rendered = renderer.render(Example(sample=asked | images, response="2"))
                assert rendered == "the prompt's text holds an image token"
            if literal != "<video>":  # no token: in a response it is text like any other
                rendered = renderer.render(Example(sample=question | images, response=literal))
                assert rendered == "the response holds an image token"


@pytest.mark.parametrize("family", PLACEHOLDERS)
def test_a_response_spells_no_control_token(family: str, tmp_path: Path) -> None:
    tiny_families.save(family, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    # As InternVL's and Qwen's are; and some flag those of thinking, too.
    content = ["<think>", "</think>", "<ref>", "</ref>", "<box>", "</box>", "<|box_start|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": [*content, "<|python_tag|>"]})
    tokenizer.add_tokens(["<tool_call>", "</s>"])
    tokenizer.save_pretrained(tmp_path)
    stops = tokenizer.convert_tokens_to_ids(["<|im_end|>", "</s>"])
    GenerationConfig(eos_token_id=stops).save_pretrained(tmp_path)
    renderer = Renderer(tmp_path, max_length=200, system="Think.")
    for text, reason in {
        "<|im_start|>": "the response holds a control token",
        "<|endoftext|>": "the response holds a control token",
        "<|python_tag|>": "the response holds a control token",
        "<|im_end|>": "the response holds an end of turn",
        "</s>": "the response holds an end of turn",
    }.items():
        for response in (f"{text}2", f"1{text}2", f"2{text}"):
            for finished in (True, False):
                assert renderer.render(example(response, finished=finished)) == reason
        own = renderer.tokenizer(f"1{text}2", add_special_tokens=False)["input_ids"]
        is_sampled = renderer.render(example("", token_ids=own)) != reason
        assert is_sampled == ("control" in reason), "sampling goes on behind it"
    for text in (*content, "<tool_call>"):
        assert decoded(renderer, renderer.render(example(f"a {text} b")))[1].count(text) == 1
    for stop in stops:
        own = [*renderer.tokenizer("2", add_special_tokens=False)["input_ids"], stop]
        tokens = renderer.render(example("2", token_ids=own))
        assert isinstance(tokens, Tokens) and tokens.response_ids == own


def test_a_template_that_leaves_images_out_is_noticed(tmp_path: Path) -> None:
    tiny_families.save("qwen2_5_vl", tmp_path)
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|image_pad|>", ""))
    renderer = Renderer(tmp_path, max_length=200, system="Think.")
    assert isinstance(renderer.render(example("2")), Tokens)
    assert "does not write a placeholder" in str(renderer.render(example("2", images=1)))
