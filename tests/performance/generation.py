"""`sophia reason` and `sophia caption` on vLLM beside vLLM itself, in one process and in turns.

Every arm answers the same prompts with the same number of tokens each, drawn from a lognormal, as
reasoning lengths are. The models have random weights and are large enough that the engine is the
limit and not Python; the tiny model of the built-in world is measured too, where it is Python.

    text_vs_one_call        sophia reason : one `LLM.generate` over everything
    text_vs_call_per_shard  sophia reason : `LLM.generate` shard by shard
    images_vs_chat          sophia caption : one `LLM.chat` over everything
    tiny_vs_one_call        as the first, with 0.6 million parameters

Ratios of tokens per second, medians over rounds; for images the geometric mean over several starts
of both engines, for the one that was started first is a few percent slower as long as it lives. The
time is that of the stage from planning to the last finished shard, without starting the engine.

    python tests/performance/generation.py --json
"""

import argparse
import base64
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from data import tables
from data.records import Caption, Sample
from data.world import resolve
from stages import caption, reason, serving
from stages.engines import Completion, ModelConfig, Request
from stages.engines.checkpoints import open_checkpoint
from stages.job import Job

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a file, it is to find `tests`

from tests.performance.runner import measure_runner
from tests.reports import SilentReport
from tests.tiny_models import IMAGE_TEMPLATE, make_tokenizer

SIGMA = 0.7
MAX_TOKENS = 512
NUM_SHARDS = 3
IMAGE_SIZE, PATCH_SIZE = 224, 14
NUM_IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE // 2) ** 2


def decoder(tokenizer: PreTrainedTokenizerFast, layers: int) -> Qwen2Config:
    """About 50 million parameters with 12 layers."""
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )


def save_text_model(folder: Path) -> int:
    """Save a language model, and say how many parameters it has."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(multimodal=False)
    model = Qwen2ForCausalLM(decoder(tokenizer, layers=13))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def save_image_model(folder: Path) -> int:
    """Save a vision-language model, and say how many parameters it has."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(multimodal=True)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, crop_to_patches=False, max_patches=1),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=NUM_IMAGE_TOKENS,
        chat_template=IMAGE_TEMPLATE,
    ).save_pretrained(folder)
    config = InternVLConfig(
        vision_config={
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
            "image_size": [IMAGE_SIZE, IMAGE_SIZE],
            "patch_size": [PATCH_SIZE, PATCH_SIZE],
        },
        text_config=decoder(tokenizer, layers=6).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=NUM_IMAGE_TOKENS,
        downsample_ratio=0.5,
    )
    model = InternVLForConditionalGeneration(config)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def photograph(seed: int) -> bytes:
    """A picture that takes as long to decode as one of a camera."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 255, (24, 32, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize((1024, 768), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_run(run: Path, num_samples: int, *, images: bool) -> None:
    """Samples, and a caption of each."""
    rows = [
        Sample(
            sample_id=f"s{index:04}",
            question=f"How many of the {index} are there?",
            images=[{"bytes": photograph(index), "path": None}] if images else [],
        )
        for index in range(num_samples)
    ]
    metadata = tables.Metadata(stage="ingest", digest="d", root="d")
    size = -(-num_samples // NUM_SHARDS)
    for index in range(NUM_SHARDS):
        part = rows[index * size : (index + 1) * size]
        path = tables.shard_path(run / "samples", index, NUM_SHARDS)
        tables.write_atomically(path, tables.to_table(part, Sample), metadata)
        captions = [
            Caption(
                sample_id=sample.sample_id,
                caption_index=0,
                text=f"{sample.sample_id} " * 8,
                finish_reason="stop",
            )
            for sample in part
        ]
        path = tables.shard_path(run / "captions", index, NUM_SHARDS)
        tables.write_atomically(path, tables.to_table(captions, Caption), metadata)


class FixedWork:
    """vLLM's engine of ours, kept between rounds, with lengths that are settled beforehand."""

    def __init__(self, config: ModelConfig, median: int) -> None:
        from stages.engines.vllm import VllmEngine

        self.engine = VllmEngine(config)
        self.median = median
        plain = self.engine._parameters

        def parameters(*arguments: Any) -> Any:
            made = plain(*arguments)
            made.ignore_eos, made.stop_token_ids = True, []
            return made

        self.engine._parameters = parameters  # type: ignore[method-assign]
        self.requests: list[Request] = []

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer, with as many tokens as the request's seed says."""
        self.requests = []

        def fixed() -> Iterator[Request]:
            for request in requests:
                length = length_of(request.seed, self.median)
                sampling = replace(request.sampling, max_tokens=length)
                self.requests.append(replace(request, sampling=sampling))
                yield self.requests[-1]

        return self.engine.generate(fixed(), should_stop)

    def figures(self) -> dict[str, float]:
        """Those of vLLM."""
        return self.engine.figures()

    def close(self) -> None:
        """Stay, for the next round."""


def length_of(seed: int, median: int) -> int:
    """Tokens of a rollout: lognormal, as those of reasoning models are."""
    draw = np.random.default_rng(seed).lognormal(np.log(median), SIGMA)
    return int(np.clip(draw, 4, MAX_TOKENS))


class Arms:
    """A model in two engines, ours and vLLM's own, with the same arguments."""

    def __init__(
        self,
        model: Path,
        run: Path,
        arguments: argparse.Namespace,
        median: int,
        *,
        ours_first: bool = True,
    ) -> None:
        from stages.engines.vllm_start import engine_settings  # first: it quiets vLLM

        from vllm import LLM  # isort: skip

        engine_args = {"max_num_seqs": arguments.concurrency, "max_model_len": 1024}
        engine_args["kv_cache_memory_bytes"] = 1 << 30
        self.config = ModelConfig(path=str(model), engine="vllm", engine_args=engine_args)
        self.run = run
        settings = engine_settings(open_checkpoint(str(model)), self.config)
        if ours_first:
            self.ours = FixedWork(self.config, median)
        self.llm = LLM(**settings)
        if not ours_first:
            self.ours = FixedWork(self.config, median)

    def stage(self, module: Any, config: Any, table: str) -> float:
        """Run a stage of ours from nothing. Tokens per second."""
        run = Path(tempfile.mkdtemp(dir=self.run.parent))
        for name in ("samples", "captions"):
            if name != table:
                (run / name).symlink_to(self.run / name)
        job = Job(
            stage=table,
            run_dir=run,
            seed=0,
            models={"policy": self.config, "reasoner": self.config},
            metadata=tables.Metadata(stage=table, digest="d", root="d"),
            report=SilentReport(),
        )
        serving.load_engine = lambda role, config, should_stop: self.ours  # type: ignore[assignment]
        started = time.monotonic()
        outcome = module.run(job, config)
        seconds = time.monotonic() - started
        assert outcome.complete and not outcome.errors, outcome
        assert len(self.ours.requests) == outcome.rows
        return self.tokens() / seconds

    def tokens(self) -> int:
        """How many tokens everything has."""
        return sum(request.sampling.max_tokens for request in self.ours.requests)

    def parameters(self) -> list[Any]:
        """vLLM's parameters of each request."""
        return [
            self.ours.engine._parameters(request, request.sampling.max_tokens, 0)
            for request in self.ours.requests
        ]

    def generate(self, num_calls: int) -> float:
        """vLLM itself, text, in so many calls. Tokens per second."""
        prompts = [
            {"prompt_token_ids": self.ours.engine.renderer.prompt(request).token_ids}
            for request in self.ours.requests
        ]
        parameters = self.parameters()
        size = -(-len(prompts) // num_calls)
        started = time.monotonic()
        for start in range(0, len(prompts), size):
            part = slice(start, start + size)
            self._check(self.llm.generate(prompts[part], parameters[part], use_tqdm=False))
        return self.tokens() / (time.monotonic() - started)

    def chat(self) -> float:
        """vLLM itself, images, in one call. Tokens per second."""
        conversations = [
            [{"role": "user", "content": list(map(openai_part, _parts(request)))}]
            for request in self.ours.requests
        ]
        parameters = self.parameters()
        started = time.monotonic()
        self._check(self.llm.chat(conversations, parameters, use_tqdm=False))
        return self.tokens() / (time.monotonic() - started)

    def forget_images(self) -> None:
        """Have both engines look at all images as for the first time."""
        engine, loop = self.ours.engine.engine, self.ours.engine.loop
        self.llm.reset_mm_cache()
        self.llm.reset_prefix_cache()
        loop.submit(engine.reset_mm_cache()).result()
        loop.submit(engine.reset_prefix_cache()).result()

    def _check(self, outputs: list[Any]) -> None:
        assert all(output.outputs[0].token_ids for output in outputs)

    def close(self) -> None:
        """End both engines."""
        self.ours.engine.close()
        self.llm.llm_engine.engine_core.shutdown()


def _parts(request: Request) -> list[tuple[dict[str, Any], bytes | None]]:
    images = iter(request.images)
    content = request.messages[0]["content"]
    return [(part, next(images) if part["type"] == "image" else None) for part in content]


def openai_part(part: tuple[dict[str, Any], bytes | None]) -> dict[str, Any]:
    """A part of a message as `LLM.chat` takes it."""
    content, image = part
    if image is None:
        return content
    url = f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def measure_text(arguments: argparse.Namespace, model: Path, folder: Path) -> dict[str, float]:
    """One call, a call per shard, and ours, in turns."""
    write_run(folder / "run", arguments.prompts, images=False)
    arms = Arms(model, folder / "run", arguments, arguments.median)
    config = reason.Config(num_rollouts=arguments.rollouts, prompt="world:prompts/reason.txt")
    speeds: dict[str, list[float]] = {"ours": [], "one_call": [], "call_per_shard": []}
    arms.stage(reason, config, "rollouts")  # vLLM's first batch is slow
    arms.generate(1)
    for _ in range(arguments.rounds):
        speeds["ours"].append(arms.stage(reason, config, "rollouts"))
        speeds["one_call"].append(arms.generate(1))
        speeds["call_per_shard"].append(arms.generate(NUM_SHARDS))
    arms.close()
    return medians(speeds)


def measure_images(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """`LLM.chat` and ours, in turns, in engines that are started anew several times."""
    parameters = save_image_model(folder / "image-model")
    write_run(folder / "images", arguments.images, images=True)
    speeds: dict[str, list[float]] = {"ours": [], "chat": []}
    ratios = []
    for start in range(arguments.starts):
        found = measure_image_engines(arguments, folder, ours_first=start % 2 == 0)
        for name, values in found.items():
            speeds[name] += values
        ratios.append(round(sum(found["ours"]) / sum(found["chat"]), 3))
        print(f"images, start {start + 1}: {ratios[-1]}", file=sys.stderr, flush=True)
    ratio = round(statistics.geometric_mean(ratios), 3)
    figures = {"ratio": ratio, "ratio_of_each_start": ratios, "parameters": parameters}
    return medians(speeds) | figures


def measure_image_engines(
    arguments: argparse.Namespace, folder: Path, *, ours_first: bool
) -> dict[str, list[float]]:
    """Tokens per second of each arm and round, in one pair of engines."""
    run = folder / "images"
    model, median = folder / "image-model", arguments.median // 2
    arms = Arms(model, run, arguments, median, ours_first=ours_first)
    config = caption.Config(num_captions=arguments.captions, prompt="world:prompts/caption.txt")
    speeds: dict[str, list[float]] = {"ours": [], "chat": []}
    measures = {
        "chat": arms.chat,
        "ours": lambda: arms.stage(caption, config, "captions"),
    }
    measures["ours"]()  # vLLM's first batch is slow
    measures["chat"]()
    for number in range(arguments.rounds):
        for name in sorted(measures, reverse=bool(number % 2)):  # each goes first in turns
            arms.forget_images()
            speeds[name].append(measures[name]())
    arms.close()
    return speeds


def medians(speeds: dict[str, list[float]]) -> dict[str, float]:
    """Median tokens per second of each arm."""
    return {name: round(statistics.median(values), 1) for name, values in speeds.items()}


def main() -> None:
    """Measure everything, or what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["text", "tiny", "images", "runner"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=4, help="of engines, for images")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--median", type=int, default=96, help="tokens of a rollout")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--captions", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the runner's measure")
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only in (None, "text"):
            parameters = save_text_model(folder / "text-model")
            (folder / "text").mkdir()
            text = measure_text(arguments, folder / "text-model", folder / "text")
            result["text_vs_one_call"] = round(text["ours"] / text["one_call"], 3)
            result["text_vs_call_per_shard"] = round(text["ours"] / text["call_per_shard"], 3)
            result["text_tokens_per_second"] = text | {"parameters": parameters}
        if arguments.only in (None, "tiny"):
            (folder / "tiny").mkdir()
            tiny = measure_text(arguments, Path(resolve("world:reasoner")), folder / "tiny")
            result["tiny_vs_one_call"] = round(tiny["ours"] / tiny["one_call"], 3)
            result["tiny_tokens_per_second"] = tiny
        if arguments.only in (None, "images"):
            images = measure_images(arguments, folder)
            result["images_vs_chat"] = images.pop("ratio")
            result["images_tokens_per_second"] = images
    if arguments.only in (None, "runner"):
        result |= measure_runner(arguments.rows)
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:32}{value}")


if __name__ == "__main__":
    main()
