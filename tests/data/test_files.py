from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.files import write_whole


def test_readers_see_one_writers_text_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    texts = [str(number) * 100_000 for number in range(8)]
    write_whole(path, texts[0])
    with ThreadPoolExecutor(len(texts)) as pool:
        writing = [pool.submit(write_whole, path, text) for text in texts * 4]
        while not all(done.done() for done in writing):
            assert path.read_text() in texts
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(tmp_path / "taken", "text")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]
