import base64
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import tables
from data.errors import InputError, RefusedError, Stopped
from data.ingest import ingest
from data.records import Sample, schema
from tests.data.pictures import bomb, png, truncated_png
from tests.reports import SilentReport

NUM_ROWS = 30
ROWS = [
    {"question": f"How many {i}?", "images": [png(i), png(i + 1)][: i % 3], "answer": i}
    for i in range(NUM_ROWS)
]


class Notes(SilentReport):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def run(source, folder, *, mapping=None, limit=None, num_shards=None, **options):
    options = {"split": "train", "image_folder": None, "report": Notes()} | options
    return ingest(
        str(source),
        folder,
        mapping=mapping or {},
        limit=limit,
        num_shards=num_shards,
        should_stop=options.pop("should_stop", lambda: False),
        **options,
    )


def rows_of(folder):
    return [row for path in tables.shards(folder) for row in tables.read_rows(path, Sample)]


def ids_of(folder):
    return [row["sample_id"] for row in rows_of(folder)]


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def write_jsonl(folder, rows=ROWS, name="rows.jsonl", into="pictures"):
    """Rows as JSONL beside a folder with their images."""
    (folder / into).mkdir(parents=True, exist_ok=True)
    lines = []
    for i, row in enumerate(rows):
        paths = [f"{into}/{i}-{j}.png" for j in range(len(row["images"]))]
        for path, data in zip(paths, row["images"], strict=True):
            (folder / path).write_bytes(data)
        lines.append(json.dumps(row | {"images": paths}))
    (folder / name).write_text("\n".join(lines))
    return folder / name


def write_parquet(path, rows=ROWS):
    structs = [
        row | {"images": [{"bytes": data, "path": None} for data in row["images"]]} for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(structs), path)
    return path


def test_what_goes_in_comes_out(tmp_path):
    summary = run(write_jsonl(tmp_path), tmp_path / "samples", num_shards=4)
    rows = rows_of(tmp_path / "samples")
    assert [row["question"] for row in rows] == [row["question"] for row in ROWS]
    assert [row["answer"] for row in rows] == [str(row["answer"]) for row in ROWS]
    assert [[image["bytes"] for image in row["images"]] for row in rows] == [
        row["images"] for row in ROWS
    ]
    assert rows[2]["images"][1]["path"] == "pictures/2-1.png"
    assert {row["source"] for row in rows} == {"rows.jsonl"}
    assert {row["error"] for row in rows} == {None}
    assert dataclasses.replace(summary, seconds=0.0) == dataclasses.replace(
        summary,
        num_samples=NUM_ROWS,
        num_errors={},
        num_duplicates=0,
        num_images=30,
        num_without_answer=0,
        num_shards=4,
        seconds=0.0,
    )


def test_the_table_is_as_its_contract_says(tmp_path):
    run(write_jsonl(tmp_path), tmp_path / "samples", num_shards=4)
    paths = tables.shards(tmp_path / "samples")
    assert files_of(tmp_path / "samples") == [f"part-0000{i}-of-00004.parquet" for i in range(4)]
    found = [tables.read_metadata(path) for path in paths]
    assert {metadata.stage for metadata in found} == {"ingest"}
    assert len({metadata.digest for metadata in found}) == 1
    assert [metadata.num_rows for metadata in found] == [7, 8, 7, 8]
    assert str(tmp_path) not in json.dumps([metadata.settings for metadata in found])
    assert all(metadata.finished_at > 0 for metadata in found)
    assert pq.read_schema(paths[0]).equals(schema(Sample))


def test_the_same_content_has_the_same_ids_in_every_format(tmp_path):
    as_url = [
        row
        | {"images": ["data:;base64," + base64.b64encode(data).decode() for data in row["images"]]}
        for row in ROWS
    ]
    (tmp_path / "list.json").write_text(json.dumps(as_url))
    structs = pq.read_table(write_parquet(tmp_path / "rows.parquet")).to_pylist()
    dataset = datasets.Dataset.from_list(structs)
    dataset = dataset.cast_column("images", datasets.List(datasets.Image()))
    dataset.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": dataset}).save_to_disk(tmp_path / "splits")
    (tmp_path / "exported").mkdir()
    dataset.to_parquet(tmp_path / "exported" / "train-00000-of-00001.parquet")
    write_jsonl(tmp_path / "folder", into=".", name="metadata.jsonl")
    names = ("list.json", "rows.parquet", "saved", "splits", "exported", "folder/metadata.jsonl")
    run(write_jsonl(tmp_path), tmp_path / "expected")
    for number, name in enumerate(names):
        run(tmp_path / name, tmp_path / f"samples-{number}")
        assert ids_of(tmp_path / f"samples-{number}") == ids_of(tmp_path / "expected"), name
        digests = map(tables.table_digest, (tmp_path / f"samples-{number}", tmp_path / "expected"))
        assert len(set(digests)) == 1


def test_image_folder(tmp_path):
    rows = [{"question": "a", "image": "a.png"}]
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(png())
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[0]))
    assert run(tmp_path / "rows.jsonl", tmp_path / "without").num_errors == {"missing_file": 1}
    found = run(tmp_path / "rows.jsonl", tmp_path / "with", image_folder=tmp_path / "pictures")
    assert (found.num_errors, found.num_images) == ({}, 1)


def test_rows_that_cannot_be_used_are_kept_with_their_error(tmp_path):
    rows = [
        {"question": "sound", "image": png(), "answer": "1"},
        {"question": "no image", "image": b"hello", "answer": "1"},
        {"question": "truncated", "image": truncated_png(), "answer": "1"},
        {"question": "bomb", "image": bomb(), "answer": "1"},
        {"question": "", "image": png(), "answer": "1"},
        {"question": None, "image": png(2), "answer": None},
        {"question": "sound, without answer", "image": None, "answer": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    summary = run(tmp_path / "rows.parquet", tmp_path / "samples")
    found = rows_of(tmp_path / "samples")
    kinds = [row["error"] and row["error"].partition(":")[0] for row in found]
    assert kinds == [None, "image", "image", "image", "question", "question", None]
    assert [len(row["images"]) for row in found] == [1, 0, 0, 0, 0, 0, 0]
    assert summary.num_errors == {"image": 3, "question": 2}
    assert (summary.num_without_answer, summary.num_images) == (2, 1)
    assert len(set(ids_of(tmp_path / "samples"))) == len(rows)
    assert tables.read_metadata(tables.shards(tmp_path / "samples")[0]).num_errors == 5


def test_exact_duplicates_are_dropped_and_named(tmp_path):
    report = Notes()
    source = write_jsonl(tmp_path, [*ROWS, *ROWS[:3]])
    summary = run(source, tmp_path / "samples", report=report, num_shards=3)
    assert (summary.num_samples, summary.num_duplicates) == (NUM_ROWS, 3)
    assert [row["question"] for row in rows_of(tmp_path / "samples")] == [
        row["question"] for row in ROWS
    ]
    (note,) = report.notes
    assert note.startswith("Exact duplicates are dropped: 3, such as ")
    assert ids_of(tmp_path / "samples")[0] in note


def test_limit_and_map(tmp_path):
    rows = [{"q": f"{i}?", "options": "['1', '2']", "a": [i], "from": "x"} for i in range(9)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    mapping = {"question": "q", "answer": "a", "source": "from"}
    summary = run(tmp_path / "rows.json", tmp_path / "samples", mapping=mapping, limit=4)
    assert summary.num_samples == 4
    last = rows_of(tmp_path / "samples")[-1]
    assert (last["question"], last["answer"], last["source"]) == ("3?", "3", "x")
    assert last["choices"] == ["1", "2"]


def test_difficulty_is_taken_where_it_is_mapped(tmp_path):
    rows = [{"question": f"{i}?", "level": level} for i, level in enumerate([0.25, None, "1", 7])]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    run(tmp_path / "rows.json", tmp_path / "without")
    summary = run(tmp_path / "rows.json", tmp_path / "with", mapping={"difficulty": "level"})
    assert [row["difficulty"] for row in rows_of(tmp_path / "with")] == [0.25, None, 1.0, None]
    assert rows_of(tmp_path / "with")[3]["error"].startswith("difficulty: it is no number from 0")
    assert summary.num_errors == {"difficulty": 1}
    assert ids_of(tmp_path / "with") == ids_of(tmp_path / "without")
    rows[0]["level"] = 0.5
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    run(tmp_path / "rows.json", tmp_path / "without")  # not mapped, it changes nothing
    with pytest.raises(RefusedError, match="holds other samples"):
        run(tmp_path / "rows.json", tmp_path / "with", mapping={"difficulty": "level"})


def test_a_tolerance_is_taken_where_it_is_mapped(tmp_path):
    allowed = [0.01, "1 %", None, "1e-3", "much"]
    rows = [{"question": f"{i}?", "error": value} for i, value in enumerate(allowed)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    summary = run(tmp_path / "rows.json", tmp_path / "run", mapping={"tolerance": "error"})
    found = [row["tolerance"] for row in rows_of(tmp_path / "run")]
    assert found == ["0.01", "1%", None, "0.001", None]
    assert rows_of(tmp_path / "run")[4]["error"] == (
        "tolerance: it is no number or percentage but 'much'"
    )
    assert summary.num_errors == {"tolerance": 1}


def test_unknown_column_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"Did you mean 'answer'\? .*question, images, answer"):
        run(write_jsonl(tmp_path), tmp_path / "samples", mapping={"answer": "anser"})


def test_the_world(tmp_path):
    summary = run("world:train", tmp_path / "samples", limit=20)
    assert (summary.num_samples, summary.num_images, summary.num_errors) == (20, 20, {})
    types = {row["answer_type"] for row in rows_of(tmp_path / "samples")}
    assert types == {"number", "choice"}
    run("world:heldout", tmp_path / "heldout", limit=20)
    assert not set(ids_of(tmp_path / "samples")) & set(ids_of(tmp_path / "heldout"))


def test_number_of_shards(tmp_path):
    rows = [{"question": f"{i}?", "images": []} for i in range(257)]
    assert run(write_jsonl(tmp_path, rows), tmp_path / "default").num_shards == 2
    assert run(write_jsonl(tmp_path, rows[:2]), tmp_path / "few", num_shards=5).num_shards == 2


def test_no_rows_is_an_input_error(tmp_path):
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(InputError):
        run(tmp_path / "rows.json", tmp_path / "samples")
    with pytest.raises(InputError, match="holds no rows"):
        run(write_jsonl(tmp_path), tmp_path / "samples", limit=0)
    assert not (tmp_path / "samples").exists()


def test_again_there_is_nothing_to_do(tmp_path):
    source, report = write_jsonl(tmp_path), Notes()
    first = run(source, tmp_path / "samples", num_shards=4)
    times = [path.stat().st_mtime_ns for path in tables.shards(tmp_path / "samples")]
    again = run(source, tmp_path / "samples", num_shards=4, report=report)
    assert report.notes == ["samples/ holds these samples already: nothing to do."]
    assert dataclasses.replace(again, seconds=first.seconds) == first
    assert [path.stat().st_mtime_ns for path in tables.shards(tmp_path / "samples")] == times


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 20}, "limit = None, now 20; num_samples = 30, now 20"),
        ({"num_shards": 5}, "num_shards = 4, now 5"),
        ({"mapping": {"answer": "question"}}, "map = {}, now {'answer': 'question'}"),
    ],
)
def test_other_content_is_refused_with_what_differs(tmp_path, change, message):
    source = write_jsonl(tmp_path)
    run(source, tmp_path / "samples", num_shards=4)
    before = rows_of(tmp_path / "samples")
    with pytest.raises(RefusedError) as error:
        run(source, tmp_path / "samples", **({"num_shards": 4} | change))
    assert message in error.value.what
    assert "another --run" in error.value.remedy
    assert rows_of(tmp_path / "samples") == before


def test_a_source_that_changed_is_refused(tmp_path):
    run(write_jsonl(tmp_path), tmp_path / "samples")
    changed = [*ROWS[:-1], ROWS[-1] | {"answer": "other"}]
    with pytest.raises(RefusedError, match="content of the source has changed"):
        run(write_jsonl(tmp_path, changed), tmp_path / "samples")


def test_a_table_of_another_tool_is_refused(tmp_path):
    (tmp_path / "samples").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "samples" / "part-00000-of-00001.parquet")
    with pytest.raises(RefusedError, match="another tool"):
        run(write_jsonl(tmp_path), tmp_path / "samples")


@pytest.mark.parametrize("calls", [1, NUM_ROWS + 1, NUM_ROWS + 20])
def test_stopping_leaves_whole_shards_and_continues(tmp_path, calls):
    source, folder = write_jsonl(tmp_path), tmp_path / "samples"
    asked = iter(range(1000))
    with pytest.raises(Stopped):
        run(source, folder, num_shards=4, should_stop=lambda: next(asked) >= calls)
    left = files_of(folder) if folder.exists() else []
    assert len(left) == max(0, calls - NUM_ROWS) // 8
    run(source, folder, num_shards=4)
    run(source, tmp_path / "undisturbed", num_shards=4)
    assert rows_of(folder) == rows_of(tmp_path / "undisturbed")


INGEST_SLOWLY = """
import sys, time
from pathlib import Path
from data import samples
from data.ingest import ingest
from tests.reports import SilentReport

check = samples.check_images
def check_slowly(sample):
    time.sleep(0.02)
    return check(sample)
samples.check_images = check_slowly
ingest(sys.argv[1], Path(sys.argv[2]), mapping={}, limit=None, num_shards=10, split="train",
       image_folder=None, report=SilentReport(), should_stop=lambda: False)
"""


def start_slowly(source, folder):
    command = [sys.executable, "-c", INGEST_SLOWLY, str(source), str(folder)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.getcwd()})


def test_killed_and_started_again_it_is_as_if_undisturbed(tmp_path):
    source, folder = write_parquet(tmp_path / "rows.parquet"), tmp_path / "samples"
    process = start_slowly(source, folder)
    deadline = time.monotonic() + 60
    while len(tables.shards(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= len(tables.shards(folder)) < 10
    kept = {path.name: path.read_bytes() for path in tables.shards(folder)}
    run(source, folder, num_shards=10)
    run(source, tmp_path / "undisturbed", num_shards=10)
    assert files_of(folder) == files_of(tmp_path / "undisturbed")
    for path in tables.shards(folder):
        other = tmp_path / "undisturbed" / path.name
        assert pq.read_table(path) == pq.read_table(other)
        assert tables.read_metadata(path).digest == tables.read_metadata(other).digest
    assert all((folder / name).read_bytes() == data for name, data in kept.items())


def test_two_at_once_write_one_table(tmp_path):
    source, folder = write_parquet(tmp_path / "rows.parquet"), tmp_path / "samples"
    processes = [start_slowly(source, folder) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    run(source, tmp_path / "alone", num_shards=10)
    assert files_of(folder) == files_of(tmp_path / "alone")
    assert rows_of(folder) == rows_of(tmp_path / "alone")


def test_one_column_may_say_two_things(tmp_path):
    source = write_parquet(tmp_path / "rows.parquet")
    run(source, tmp_path / "samples", mapping={"hint": "question"})
    assert all(row["hint"] == row["question"] for row in rows_of(tmp_path / "samples"))


def test_importing_it_loads_nothing_heavy():
    program = "import sys, data.ingest; print({'datasets', 'torch', 'pandas'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
