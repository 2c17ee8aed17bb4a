"""A part of the rows of a plan: rendered, by a worker or not, and written to a file of its own."""

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data import tables
from stages.training.render import Example, Renderer, Tokens

SCHEMA = pa.schema(
    [
        ("prompt_ids", pa.list_(pa.int32())),
        ("response_ids", pa.list_(pa.int32())),
        ("num_image_tokens", pa.int32()),
        ("rejected", pa.string()),
    ]
)

Given = tuple[Example, str | None]
"""An example, and why it is rejected without a look at its tokens; None: it is not."""

_of_worker: list[Renderer] = []
"""The renderer of this process, where it is a worker."""


def start_worker(make_renderer: Callable[[], Renderer]) -> None:
    """Make a fresh worker ready.

    Signals that reach a whole process group are the command's to deal with.
    """
    import torch

    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    _of_worker.append(make_renderer())


def render_in_worker(rows: Sequence[Given], path: Path) -> None:
    """Render rows in a worker."""
    render_part(_of_worker[0], rows, path, lambda: False)


def render_part(
    renderer: Renderer,
    rows: Sequence[Given],
    path: Path,
    should_stop: Callable[[], bool],
) -> bool:
    """Render rows and write them to a file of the plan's folder of parts, there when it is whole.

    Returns:
        False where it was stopped first.
    """
    found = []
    for example, reason in rows:
        if should_stop():
            return False
        rendered = reason or renderer.render(example)
        is_rejected = isinstance(rendered, str)
        found.append({"rejected": rendered} if is_rejected else vars(rendered))
    table = pa.Table.from_pylist(found, schema=SCHEMA)
    tables.write_atomically(path, table, tables.Metadata(stage="train", digest=path.parent.name))
    return True


def read_part(path: Path) -> Iterator[Tokens | str]:
    """What the rows of a part came to: tokens, or why they are rejected."""
    for row in pq.read_table(path).to_pylist():
        rejected = row.pop("rejected")
        yield Tokens(**row) if rejected is None else rejected
