"""Signs of life: a small file per attempt that says who works on what, and how fast.

`sophia status` reads them; nothing else depends on them.
"""

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.files import write_whole
from sophia_cli.console import ConsoleReport
from stages.leases import Holder

INTERVAL_SECONDS = 2.0
RATE_SECONDS = 60.0
"""Rates are over the last so many seconds."""
COUNTS = ("rows", "tokens", "errors", "kept_tokens", "lost_tokens")
DEAD_SECONDS = 30.0
"""An attempt whose file is older, and does not say that it ended, is dead."""


@contextmanager
def pulse(path: Path, stage: str, worker: str, report: ConsoleReport) -> Iterator[None]:
    """Within the block the file is written every few seconds, and once more at the end.

    Args:
        path: the file.
        stage: what is worked on.
        worker: by whom.
        report: what has been done.
    """
    holder = vars(Holder.ours(worker))
    began = time.time()
    recent = deque([(time.monotonic(), 0, 0)])
    ended = threading.Event()

    def write(state: str) -> None:
        if report.counts["rows"] < recent[-1][1]:
            recent.clear()  # another part of the work began
        recent.append((time.monotonic(), report.counts["rows"], report.counts["tokens"]))
        while len(recent) > 2 and recent[-1][0] - recent[0][0] > RATE_SECONDS:
            recent.popleft()
        seconds, rows, tokens = (
            now - then for now, then in zip(recent[-1], recent[0], strict=True)
        )
        content: dict[str, Any] = holder | {
            "stage": stage,
            "state": state,
            "began": began,
            "updated": time.time(),
            "table": report.table,
            "total": report.total,
            "done": report.done,
            **{name: report.counts[name] for name in COUNTS},
            "rows_per_second": round(rows / seconds, 3) if seconds else 0.0,
            "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
            "figures": dict(report.figures()),
        }
        with contextlib.suppress(OSError):  # a full disk is noticed by those whom it concerns
            write_whole(path, json.dumps(content))

    def beat() -> None:
        while not ended.wait(INTERVAL_SECONDS):
            write("working")
            report.tick()

    path.parent.mkdir(parents=True, exist_ok=True)
    write("working")
    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    state = "failed"
    try:
        yield
        state = "ended"
    finally:
        ended.set()
        thread.join()
        write(state)


def read_pulses(folder: Path) -> list[dict[str, Any]]:
    """The last sign of each worker of each stage, oldest first, each with `is_alive`."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name):
        try:
            content = json.loads(path.read_text())
            holder = Holder(**{name: content[name] for name in Holder.__dataclass_fields__})
        except (OSError, ValueError, KeyError):
            continue
        working = content["state"] == "working" and not holder.is_known_dead()
        content["is_alive"] = working and time.time() - content["updated"] < DEAD_SECONDS
        before = newest.get((content["stage"], content["worker"]))
        if before is None or before["began"] < content["began"]:
            newest[content["stage"], content["worker"]] = content
    return sorted(newest.values(), key=lambda content: float(content["began"]))
