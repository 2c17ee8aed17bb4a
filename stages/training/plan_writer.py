"""Write a plan: rows that were rendered, and each of their images once, into its files."""

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
from data.images import ImageError
from data.tables import sync_folder
from stages.training.plan import IMAGE_SCHEMA, REJECTED, ROW_SCHEMA, Plan
from stages.training.render import UNREADABLE, Example, Tokens, read_image
from stages.training.rendering import PARTS

ROWS_PER_BATCH = 256


@dataclass
class PlanWriter:
    """Puts rendered examples into a new plan. Use as a context manager.

    Of what is in its folder only the parts of this plan stay: what was rendered before.
    """

    folder: Path
    digest: str
    rejected: Counter[str] = field(default_factory=Counter)
    num_rows: int = 0

    def __enter__(self) -> Self:
        parts = self.folder / PARTS
        for path in [*self.folder.glob("*"), *parts.glob("*")]:
            if path not in (parts, parts / self.digest):
                remove(path)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rows = pa.ipc.new_file(self.folder / "rows.arrow", ROW_SCHEMA)
        self._images = pa.ipc.new_file(self.folder / "images.arrow", IMAGE_SCHEMA)
        self._rejected = (self.folder / REJECTED).open("w", encoding="utf-8")
        self._waiting: list[dict[str, Any]] = []
        self._image_numbers: dict[bytes, int] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._rows.close()
        self._images.close()
        self._rejected.close()

    def add(self, example: Example, rendered: Tokens | str) -> int | None:
        """Put in an example.

        Args:
            example: what it is.
            rendered: its tokens, or why it is rejected.

        Returns:
            Its row number; None where it is rejected, which is written down.
        """
        if isinstance(rendered, str):
            self._reject(example, rendered)
            return None
        try:
            encoded = [read_image(image) for image in example.sample.get("images") or []]
        except ImageError:  # its file has vanished since it was rendered
            self._reject(example, UNREADABLE)
            return None
        self._waiting.append(
            {
                "key": example.key,
                **vars(rendered),
                "reward": example.reward,
                "images": list(map(self._image, encoded)),
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

    def _reject(self, example: Example, reason: str) -> None:
        self.rejected[reason] += 1
        self._rejected.write(json.dumps({"row": example.key, "reason": reason}) + "\n")

    def _image(self, encoded: bytes) -> int:
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
        remove(self.folder / PARTS)
        return Plan.open(self.folder)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
