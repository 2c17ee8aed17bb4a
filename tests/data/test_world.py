import re
import subprocess
import sys
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.world import (
    SAMPLES_PER_SEED,
    SEEDS_PER_SPLIT,
    SPLITS,
    WorldSample,
    iterate_dialogues,
    iterate_samples,
    read_prompt,
    resolve,
    scene_seed,
)
from data.world.scenes import COLORS, FORMS, IMAGE_SIZE, make_scene, render

MEGABYTE = 1 << 20
NUM_SHOWN = 24

BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def description_of(sample_id: str) -> str:
    _, split, seed, index = sample_id.split("-")
    return make_scene(scene_seed(split, int(seed), int(index))).describe()


def count_in_text(description: str, group: str) -> int:
    """Counts with string matching alone, apart from the code that made the question."""
    cells = [cell.split()[1:] for cell in description.removesuffix(".").split(", ")]
    shapes = [cell for cell in cells if cell != ["empty"]]
    if group == "shapes":
        return len(shapes)
    word = group.removesuffix(" shapes").removesuffix("s")
    return sum(word in shape for shape in shapes)


def answer_from_text(description: str, question: str) -> str:
    group = r"((?:\w+ )?shapes|\w+s)"
    if match := re.fullmatch(rf"Add the number of {group} to the number of {group}\.", question):
        return str(sum(count_in_text(description, g) for g in match.groups()))
    if match := re.fullmatch(rf"Subtract all {group}\. How many shapes are left\?", question):
        return str(count_in_text(description, "shapes") - count_in_text(description, match[1]))
    if match := re.fullmatch(rf"How many more {group} than {group} are there\?", question):
        return str(count_in_text(description, match[1]) - count_in_text(description, match[2]))
    match = re.fullmatch(rf"How many {group} are there\?(.*)", question)
    assert match, question
    number = str(count_in_text(description, match[1]))
    options = {option: letter for letter, option in re.findall(r"([A-D])\. (\d+)", match[2])}
    return options[number] if options else number


def test_samples_depend_on_split_seed_and_index_alone() -> None:
    first = list(iterate_samples("train", 12, seed=3))
    assert first == list(iterate_samples("train", 12, seed=3))
    assert first[:5] == list(iterate_samples("train", 5, seed=3))
    assert first != list(iterate_samples("train", 12, seed=4))


def test_splits_share_no_seeds_and_no_scenes() -> None:
    ranges = [
        (scene_seed(split, 0, 0), scene_seed(split, SEEDS_PER_SPLIT // SAMPLES_PER_SEED - 1, 0))
        for split in SPLITS
    ]
    for (_, end), (start, _) in pairwise(ranges):
        assert end + SAMPLES_PER_SEED <= start
    described = [
        make_scene(scene_seed(split, seed, index)).describe()
        for split in SPLITS
        for seed in range(3)
        for index in range(200)
    ]
    assert len(set(described)) == len(described)


def test_seeds_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="seed must be between"):
        scene_seed("train", SEEDS_PER_SPLIT // SAMPLES_PER_SEED, 0)
    with pytest.raises(ValueError, match="samples for each seed"):
        scene_seed("train", 0, SAMPLES_PER_SEED)


def test_answers_are_right() -> None:
    for split in ("train", "heldout"):
        for sample in iterate_samples(split, 300, seed=1):
            description = description_of(sample.sample_id)
            assert sample.answer == answer_from_text(description, sample.question)


def test_choice_questions_have_four_options_and_others_none() -> None:
    samples = list(iterate_samples("train", 200, seed=2))
    assert {sample.answer_type for sample in samples} == {"number", "choice"}
    for sample in samples:
        if sample.answer_type == "choice":
            assert len(set(sample.choices)) == 4
            assert sample.answer in "ABCD"
        else:
            assert sample.choices == ()
            assert sample.answer.isdigit()


def test_no_answer_is_common_enough_to_guess() -> None:
    answers = [sample.answer for sample in iterate_samples("heldout", 500, seed=0)]
    assert max(map(answers.count, set(answers))) < 0.2 * len(answers)


def test_pictures_show_the_colors_of_their_scene() -> None:
    scene = make_scene(scene_seed("train", 0, 0))
    image = Image.open(BytesIO(render(scene))).convert("RGB")
    assert image.size == (IMAGE_SIZE, IMAGE_SIZE)
    for index, shape in enumerate(scene.cells):
        if shape is None:
            continue
        x, y = ((2 * k + 1) * IMAGE_SIZE // 6 for k in (index % 3, index // 3))
        pixel = image.getpixel((x, y))
        assert isinstance(pixel, tuple)
        distance = {
            color: sum(abs(a - b) for a, b in zip(pixel, rgb, strict=True))
            for color, rgb in COLORS.items()
        }
        assert min(distance, key=distance.__getitem__) == shape.color


def test_text_dialogues_reason_to_the_right_answer() -> None:
    for dialogue in iterate_dialogues("text", 100, seed=0):
        description, question = dialogue.prompt.split("\n")
        assert dialogue.images == ()
        assert description == description_of(dialogue.sample_id)
        assert dialogue.response.startswith("<think>\n")
        assert "</think>\n\n**Final answer** " in dialogue.response
        assert BOXED.findall(dialogue.response) == [answer_from_text(description, question)]


def test_description_dialogues_describe_their_picture() -> None:
    for dialogue in iterate_dialogues("descriptions", 20, seed=0):
        assert dialogue.prompt == read_prompt("caption")
        assert dialogue.response == description_of(dialogue.sample_id)
        assert len(dialogue.images) == 1


def test_world_paths_resolve_and_others_stay() -> None:
    assert Path(resolve("world:policy/config.json")).is_file()
    assert Path(resolve("world:prompts/caption.txt")).read_text() == read_prompt("caption")
    assert resolve("/models/InternVL3-38B-hf") == "/models/InternVL3-38B-hf"


def test_importing_the_world_loads_nothing_heavy() -> None:
    code = "import sys, data.world; print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_models_are_small() -> None:
    sizes = [path.stat().st_size for path in Path(resolve("world:")).rglob("*.safetensors")]
    assert len(sizes) == 2
    assert sum(sizes) < 16 * MEGABYTE


@pytest.fixture(scope="module")
def policy() -> tuple[Any, Any]:
    import torch
    import transformers

    torch.set_num_threads(1)
    path = resolve("world:policy")
    processor = transformers.AutoProcessor.from_pretrained(path)
    model = transformers.AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32)
    return processor, model.eval()


def generate(policy: tuple[Any, Any], samples: list[WorldSample], *, caption: bool) -> list[str]:
    processor, model = policy
    prompts = []
    for sample in samples:
        text = read_prompt("caption") if caption else sample.question
        user = [{"type": "image"}, {"type": "text", "text": text}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": user}]
        if not caption:
            messages.insert(0, {"role": "system", "content": read_prompt("system")})
        prompts.append(processor.apply_chat_template(messages, add_generation_prompt=True))
    images = [[Image.open(BytesIO(sample.images[0]))] for sample in samples]
    inputs = processor(text=prompts, images=images, padding=True, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
    texts: list[str] = processor.batch_decode(
        output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return texts


def test_policy_describes_well(policy: tuple[Any, Any]) -> None:
    samples = list(iterate_samples("heldout", NUM_SHOWN, seed=0))
    right = total = 0
    for sample, text in zip(samples, generate(policy, samples, caption=True), strict=True):
        truth = description_of(sample.sample_id).removesuffix(".").split(", ")
        told = text.removesuffix(".").split(", ")
        assert len(told) == len(truth)
        right += sum(a == b for a, b in zip(told, truth, strict=True))
        total += len(truth)
    assert right / total > 0.85


def test_policy_answers_at_once_and_often_wrongly(policy: tuple[Any, Any]) -> None:
    samples = list(iterate_samples("heldout", 4 * NUM_SHOWN, seed=0))
    texts = generate(policy, samples, caption=False)
    assert all(BOXED.fullmatch(text) for text in texts)
    right = sum(BOXED.findall(text) == [s.answer] for text, s in zip(texts, samples, strict=True))
    assert 0.05 < right / len(samples) < 0.5


def test_pictures_take_one_token_for_each_cell(policy: tuple[Any, Any]) -> None:
    processor, model = policy
    sample = next(iterate_samples("heldout", 1, seed=0))
    image = Image.open(BytesIO(sample.images[0]))
    inputs = processor(text="<IMG_CONTEXT>", images=[image], return_tensors="pt")
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 9


def test_reasoner_thinks_then_answers_mostly_right() -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    path = resolve("world:reasoner")
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    samples = list(iterate_samples("heldout", 2 * NUM_SHOWN, seed=0))
    prompts = []
    for sample in samples:
        text = read_prompt("reason").replace("{{caption}}", description_of(sample.sample_id))
        messages = [{"role": "user", "content": text.replace("{{question}}", sample.question)}]
        prompts.append(
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        )
    inputs = tokenizer(prompts, padding=True, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=400, do_sample=True, top_k=0)
    texts = tokenizer.batch_decode(
        output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert all(text.startswith("<think>\n") for text in texts)
    assert 0 < sum("let me check" in text for text in texts) < len(texts)
    right = sum(BOXED.findall(text) == [s.answer] for text, s in zip(texts, samples, strict=True))
    assert right / len(samples) > 0.8


def test_the_two_tokenizers_differ() -> None:
    import transformers

    policy, reasoner = (
        transformers.AutoTokenizer.from_pretrained(resolve(f"world:{name}"))
        for name in ("policy", "reasoner")
    )
    text = f"a1 {next(iter(COLORS))} {FORMS[0]}"
    assert policy(text)["input_ids"] != reasoner(text)["input_ids"]
