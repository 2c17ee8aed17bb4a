"""Write a plan: render rows and put them, and each of their images once, into its files."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from data.files import write_whole
from data.tables import sync_folder
from stages.training.plan import IMAGE_SCHEMA, ROW_SCHEMA, Plan
from stages.training.render import Example, Renderer, read_image

ROWS_PER_BATCH = 256


@dataclass
class PlanWriter:
    """Renders examples into a new plan. Use as a context manager."""

    folder: Path
    renderer: Renderer
    rejected: Counter[str] = field(default_factory=Counter)
    num_rows: int = 0

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._rows = pa.ipc.new_file(self.folder / "rows.arrow", ROW_SCHEMA)
        self._images = pa.ipc.new_file(self.folder / "images.arrow", IMAGE_SCHEMA)
        self._waiting: list[dict[str, Any]] = []
        self._image_numbers: dict[bytes, int] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._rows.close()
        self._images.close()

    def add(self, example: Example) -> int | None:
        """Render an example; its row number, or None where it is rejected, which is counted."""
        rendered = self.renderer.render(example)
        if isinstance(rendered, str):
            self.rejected[rendered] += 1
            return None
        self._waiting.append(
            {
                "key": example.key,
                "prompt_ids": rendered.prompt_ids,
                "response_ids": rendered.response_ids,
                "reward": example.reward,
                "images": [self._image(image) for image in example.sample.get("images") or []],
                "is_own": example.is_own,
                "behavior_logprob": example.behavior_logprob,
                "advantage": example.advantage,
                "group": None if example.group is None else vars(example.group),
                "place": example.place,
            }
        )
        if len(self._waiting) == ROWS_PER_BATCH:
            self._flush()
        self.num_rows += 1
        return self.num_rows - 1

    def _image(self, image: Mapping[str, Any]) -> int:
        encoded = read_image(image)
        content = hashlib.sha256(encoded).digest()
        if content not in self._image_numbers:
            self._images.write(pa.record_batch([[encoded]], schema=IMAGE_SCHEMA))
            self._image_numbers[content] = len(self._image_numbers)
        return self._image_numbers[content]

    def _flush(self) -> None:
        if self._waiting:
            self._rows.write(pa.RecordBatch.from_pylist(self._waiting, schema=ROW_SCHEMA))
            self._waiting.clear()

    def finish(self, values: Mapping[str, Any]) -> Plan:
        """Write `plan.json`, whose being there says that the rows are; the plan."""
        write_whole(self.folder / "plan.json", json.dumps(values))
        sync_folder(self.folder)
        return Plan.open(self.folder)
