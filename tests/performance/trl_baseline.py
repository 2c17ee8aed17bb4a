"""TRL's SFTTrainer over the rows of a plan: what the trainer is compared with.

The rows are given to it as TRL wants them, prompt and completion as text and the images beside
them; its own collator makes tokens of them. What is frozen here is frozen there.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from trl import SFTConfig, SFTTrainer

from data.images import open_image
from stages.prompts import answer_messages
from stages.training.render import Renderer


def as_dataset(rows: Iterable[Mapping[str, Any]], renderer: Renderer) -> datasets.Dataset:
    """Rows with `question`, `images` (encoded) and `response` in TRL's prompt-completion form."""
    end = renderer.tokenizer.decode([renderer.end_of_turn])
    return datasets.Dataset.from_list(
        [
            {
                "prompt": renderer.processor.apply_chat_template(
                    answer_messages(
                        {"question": row["question"], "images": row["images"]},
                        renderer.system if "<think>" in row["response"] else None,
                    ),
                    add_generation_prompt=True,
                    tokenize=False,
                ),
                "completion": row["response"] + end,
                "images": [open_image(image) for image in row["images"]],
            }
            for row in rows
        ],
        features=datasets.Features(
            {
                "prompt": datasets.Value("string"),
                "completion": datasets.Value("string"),
                "images": datasets.List(datasets.Image()),
            }
        ),
    )


class StepTimes(TrainerCallback):
    """Seconds of each optimizer step, and loss and gradient norm of the last one.

    Args:
        synchronize: waits for what the device has to do.
    """

    def __init__(self, synchronize: Callable[[], None] = lambda: None) -> None:
        self.synchronize = synchronize
        self.seconds: list[float] = []
        self.logged: list[dict[str, float]] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """A step includes fetching its rows, as ours does."""
        self.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self.started)
        self.started = now

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        self.logged.append(logs)


def make_trainer(
    policy: Path,
    rows: datasets.Dataset,
    folder: Path,
    *,
    rows_per_step: int,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> tuple[SFTTrainer, StepTimes]:
    """A trainer whose language model trains, in the order of the rows."""
    model = AutoModelForImageTextToText.from_pretrained(policy, dtype=dtype)
    model.requires_grad_(False)
    for part in (model.model.language_model, model.lm_head):
        part.requires_grad_(True)
    times = StepTimes(torch.cuda.synchronize if torch.cuda.is_available() else lambda: None)
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch_size,
        "gradient_accumulation_steps": rows_per_step // batch_size,
        "max_length": None,
        "train_sampling_strategy": "sequential",
        "num_train_epochs": 1,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.05,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
        "bf16": False,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": False,
        **settings,
    }
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**values),
        train_dataset=rows,
        processing_class=AutoProcessor.from_pretrained(policy),
        callbacks=[times],
    )
    return trainer, times
