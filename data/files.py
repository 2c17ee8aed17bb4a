"""Small files of text that readers see whole, old or new, and never in part."""

import uuid
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its name, then give it the name; of several writers the last one wins."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
