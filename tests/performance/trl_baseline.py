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
    """Seconds of each optimizer step, its rows fetched, and what was logged.

    Args:
        now: the clock.
        between: called after each step, beyond its time.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.perf_counter,
        between: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.now, self.between = now, between
        self.seconds: list[float] = []
        self.logged: list[dict[str, float]] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.started = self.now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(self.now() - self.started)
        self.between(self.seconds[-1])
        self.started = self.now()

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        self.logged.append(logs)


def make_trainer(
    policy: Path,
    rows: datasets.Dataset,
    folder: Path,
    *,
    rows_per_step: int,
    times: StepTimes,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> SFTTrainer:
    """A trainer whose language model trains, in the order of the rows."""
    model = AutoModelForImageTextToText.from_pretrained(policy, dtype=dtype)
    model.requires_grad_(False)
    for part in (model.model.language_model, model.lm_head):
        part.requires_grad_(True)
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
    return SFTTrainer(
        model=model,
        args=SFTConfig(**values),
        train_dataset=rows,
        processing_class=AutoProcessor.from_pretrained(policy),
        callbacks=[times],
    )
