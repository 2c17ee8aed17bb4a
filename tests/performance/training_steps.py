"""Optimizer steps of the trainer, of TRL's SFTTrainer, and a bare loop over the same packs.

Two processes with the same number of threads take the same steps over the same rows, one at a time
and in turns: the trainer with the bare loop, and TRL. Rows have lognormal lengths, as reasoning
has; TRL takes them at several batch sizes, of which the best one counts.

The bare loop runs the whole model, vision tower included, forward and backward over packs whose
tokens and pixels lie ready: what it does not do, and the trainer does, is decoding images, the
engine, the optimizer and writing things down.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

ROWS_PER_STEP, PACK_LENGTH, MEDIAN_TOKENS, SIGMA, MAX_TOKENS = 32, 4096, 160, 0.7, 900
TRL_BATCH_SIZES = (1, 2, 4, 8)
HEAD_SIZE = 32
"""The smallest that vLLM's kernels take: a policy that can be sampled from has no smaller one."""
WARMUP = 2
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
"""Processor time is what a busy machine leaves alone."""
ONE_RANK = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
}
"""Of the trainer; TRL would wrap its model for several ranks."""


def save_model(folder: Path, width: int) -> None:
    """A policy of four layers: a quarter of a million parameters at width 64, a million at 128."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    from tests import tiny_models

    folder.mkdir()
    tiny_models.save_policy(folder)
    config = AutoConfig.from_pretrained(folder)
    heads = width // HEAD_SIZE
    text = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": 4,
        "num_attention_heads": heads,
        "num_key_value_heads": -(-heads // 2),
        "layer_types": ["full_attention"] * 4,
    }
    for name, value in text.items():
        setattr(config.text_config, name, value)
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)


def make_rows(count: int) -> list[dict[str, Any]]:
    """Responses of lognormal length, a token per byte; every other question has a picture."""
    from tests.stages.training.runs import picture

    lengths = np.random.default_rng(0).lognormal(np.log(MEDIAN_TOKENS), SIGMA, count)
    return [
        {
            "question": f"How many? {number}",
            "images": [picture(number)] if number % 2 else [],
            "response": "x" * int(min(length, MAX_TOKENS)),
            "reward": 1.0,
        }
        for number, length in enumerate(lengths)
    ]


def make_run(folder: Path, num_steps: int, width: int) -> tuple[Path, list[int]]:
    """Plan a run; its task, and the tokens of its steps."""
    from stages import train
    from stages.training.plan import Plan
    from tests.stages.training.runs import make_config, make_job, write_run

    save_model(folder / "policy", width)
    run_dir = write_run(folder / "run", make_rows(ROWS_PER_STEP * num_steps), num_shards=1)
    config = make_config(
        run_dir,
        objective="sft",
        batch_size=ROWS_PER_STEP,
        pack_length=PACK_LENGTH,
        max_length=2048,
    )
    (run_dir / "metrics").mkdir()
    train.launch = lambda *_, **__: None  # type: ignore[attr-defined]
    train.run(make_job(run_dir, folder / "policy", config), config)
    work = run_dir / "checkpoints" / train.WORK
    plan = Plan.open(work / "plan")
    return work / "task.json", [plan.num_tokens(step) for step in range(num_steps)]


@contextmanager
def worker(
    arm: str, folder: Path, task: Path, clock: str, environment: dict[str, str]
) -> Iterator[Connection]:
    """A process that takes a step for every message, and answers with what it took."""
    from stages.training.launch import environment as of_ranks

    ours, theirs = socket.socketpair()
    with ours, (folder / f"{arm}.log").open("wb") as log:
        with theirs:
            arguments = [arm, clock, str(theirs.fileno()), str(folder), str(task)]
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, *arguments],
                env={**of_ranks(1), **environment},
                pass_fds=(theirs.fileno(),),
                stdout=log,
                stderr=log,
            )
        connection = Connection(ours.detach())
        try:
            yield connection
        except EOFError:
            sys.stderr.write(Path(log.name).read_text()[-3000:])
            raise
        finally:
            connection.close()
            process.wait()


def measure_steps(rounds: int, width: int, clock: str) -> dict[str, Any]:
    """Tokens per second of all arms, and the ratios of the trainer to the others; medians."""
    num_steps = rounds + WARMUP
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        task, tokens = make_run(folder, num_steps, width)
        port = str(29_600 + os.getpid() % 1000)
        ours = stack.enter_context(
            worker("ours", folder, task, clock, {**ONE_RANK, "MASTER_PORT": port})
        )
        trl = stack.enter_context(worker("trl", folder, task, clock, {}))
        seconds: dict[str, list[list[float]]] = {"ours": [], "bare": [], "trl": []}
        for _ in TRL_BATCH_SIZES:
            taken: dict[str, list[float]] = {arm: [] for arm in seconds}
            for step in range(num_steps):
                for arm in list(taken)[:: 1 if step % 2 else -1]:
                    to = trl if arm == "trl" else ours
                    to.send((arm, step))
                    taken[arm].append(to.recv())
            for arm, values in taken.items():
                seconds[arm].append(values)
    return {**summarise(seconds, tokens), "width": width, "clock": clock}


def summarise(seconds: dict[str, list[list[float]]], tokens: list[int]) -> dict[str, Any]:
    """Medians over the timed steps; a ratio is one of steps that were taken beside each other.

    Args:
        seconds: of each arm, for each batch size of TRL, for each step.
        tokens: of each step.
    """
    timed = range(WARMUP, len(tokens))

    def rate(values: list[float]) -> float:
        return round(statistics.median(tokens[step] / values[step] for step in timed), 1)

    def ratio(number: int, arm: str) -> float:
        mine, other = seconds["ours"][number], seconds[arm][number]
        return statistics.median(other[step] / mine[step] for step in timed)

    numbers = range(len(TRL_BATCH_SIZES))
    against = {size: ratio(number, "trl") for number, size in enumerate(TRL_BATCH_SIZES)}
    return {
        "vs_trl": round(min(against.values()), 3),
        "vs_bare_loop": round(statistics.median(ratio(number, "bare") for number in numbers), 3),
        "trl_best_batch_size": min(against, key=against.__getitem__),
        "vs_trl_by_batch_size": {str(size): round(found, 3) for size, found in against.items()},
        "tokens_per_second": {
            "ours": statistics.median(map(rate, seconds["ours"])),
            "bare": statistics.median(map(rate, seconds["bare"])),
            **{
                f"trl_{size}": rate(values)
                for size, values in zip(TRL_BATCH_SIZES, seconds["trl"], strict=True)
            },
        },
        "tokens_per_step": round(statistics.mean(tokens)),
    }


def run_ours(
    connection: Connection, now: Callable[[], float], folder: Path, task_path: Path
) -> None:
    """The trainer, and the bare loop over the same packs."""
    from dataclasses import replace

    import torch

    from data.images import open_image
    from stages.training.loop import start_distributed
    from stages.training.metrics import open_metrics
    from stages.training.plan import Row
    from stages.training.policy import Policy, make_batch
    from stages.training.task import Task
    from stages.training.trainer import Trainer

    task, device = Task.load(task_path), start_distributed()
    trainer = Trainer(task, device)
    bare = Policy(task.model, torch.float32, device)
    bare.use_packed_attention(True)

    def pixels_of(row: Row) -> Any:
        opened = [open_image(trainer.plan.image(number)) for number in row.images]
        return bare.vision.pixels(opened) if opened else None

    def take(arm: str, step: int) -> float:
        if arm == "bare":
            packs = [
                [trainer.plan.row(row) for row in pack]
                for pack in trainer.plan.packs(step, PACK_LENGTH)
            ]
            pixels = [[pixels_of(row) for row in pack] for pack in packs]
            started = now()
            for pack, ready in zip(packs, pixels, strict=True):
                with torch.no_grad():
                    images = [
                        each and bare.family.image_features(bare.model, each) for each in ready
                    ]
                batch = make_batch(bare.family, bare.model, pack, images, device)
                (-bare.language(batch).sum() / trainer.plan.num_targets(step)).backward()
            seconds = now() - started
            bare.language.zero_grad()
            return seconds
        trainer.manifest = replace(trainer.manifest, step=step)
        trainer.policy.vision.forget()  # every image is new, as it is for TRL
        started = now()
        trainer.step()
        metrics.write(step + 1, trainer.manifest.last_step)
        return now() - started

    with open_metrics(task, trainer.policy, 0, torch.float32, device) as metrics:
        while True:
            connection.send(take(*connection.recv()))


def run_trl(
    connection: Connection, now: Callable[[], float], folder: Path, task_path: Path
) -> None:
    """TRL at its batch sizes, one after the other."""
    from stages.training.plan import Plan
    from stages.training.render import Renderer
    from stages.training.task import Task
    from tests.performance import trl_baseline
    from tests.stages.training.runs import SHORT_PROMPT

    task = Task.load(task_path)
    plan = Plan.open(task.plan)
    rows = make_rows(plan.num_rows)
    renderer = Renderer(task.model, task.config.max_length, SHORT_PROMPT)
    dataset = trl_baseline.as_dataset([rows[row] for step in plan.steps for row in step], renderer)
    for size in TRL_BATCH_SIZES:
        connection.recv()
        left = iter(range(len(plan.steps) - 1, -1, -1))

        def take_turns(seconds: float, left: Iterator[int] = left) -> None:
            connection.send(seconds)
            if next(left):
                connection.recv()

        trl_baseline.make_trainer(
            task.model,
            dataset,
            folder / "trl",
            rows_per_step=ROWS_PER_STEP,
            batch_size=size,
            times=trl_baseline.StepTimes(now, take_turns),
            logging_steps=10,
        ).train()
    connection.recv()  # until nobody is there


def main(arm: str, clock: str, descriptor: str, folder: str, task: str) -> None:
    """Take steps until nobody asks for more."""
    run = {"ours": run_ours, "trl": run_trl}[arm]
    try:
        run(Connection(int(descriptor)), CLOCKS[clock], Path(folder), Path(task))
    except EOFError:
        os._exit(0)  # as in the loop


if __name__ == "__main__":
    main(*sys.argv[1:])
