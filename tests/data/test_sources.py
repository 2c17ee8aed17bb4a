import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.sources import open_source
from tests.data.pictures import png

ROWS = [
    {"question": f"How many {i}?", "image": {"bytes": png(i), "path": f"{i}.png"}, "answer": str(i)}
    for i in range(40)
]


def make_dataset(rows=ROWS):
    return datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())


def read(source, columns=("question", "image", "answer"), *, split="train", **options):
    opened = open_source(str(source), split=split, **options)
    rows = list(opened.rows(columns))
    assert opened.num_rows in (None, len(rows))
    return rows


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_saved_dataset(tmp_path):
    make_dataset().save_to_disk(tmp_path / "set")
    assert read(tmp_path / "set") == ROWS


def test_saved_dataset_dict_has_splits(tmp_path):
    splits = {"train": make_dataset(), "testmini": make_dataset(ROWS[:3])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    assert read(tmp_path / "set") == ROWS
    assert read(tmp_path / "set", split="testmini") == ROWS[:3]
    with pytest.raises(InputError, match="Choose one with --split: train, testmini"):
        open_source(str(tmp_path / "set"), split="test")


def test_parquet_file(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet", row_group_size=7)
    assert read(tmp_path / "rows.parquet") == ROWS


def test_exported_parquet_folder_has_splits(tmp_path):
    (tmp_path / "data").mkdir()
    for i in (0, 1):
        part = make_dataset(ROWS[20 * i : 20 * i + 20])
        part.to_parquet(tmp_path / "data" / f"train-0000{i}-of-00002.parquet")
    make_dataset(ROWS[:2]).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    assert read(tmp_path) == ROWS
    assert read(tmp_path, split="test") == ROWS[:2]
    with pytest.raises(InputError, match="has no split 'validation'"):
        open_source(str(tmp_path), split="validation")


def test_plain_parquet_folder(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS[:20]), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[20:]), tmp_path / "b.parquet")
    assert read(tmp_path) == ROWS


def test_jsonl_file_keeps_mixed_types(tmp_path):
    rows = [{"question": "a", "answer": 3}, {"question": "b", "answer": "x", "hint": "h"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    opened = open_source(str(tmp_path / "rows.jsonl"), split="train")
    assert opened.columns == ["question", "answer", "hint"]
    assert [row["answer"] for row in opened.rows(["answer", "hint"])] == [3, "x"]
    assert [row["hint"] for row in opened.rows(["answer", "hint"])] == [None, "h"]
    assert opened.folder == tmp_path


def test_jsonl_folder_is_read_the_same_way(tmp_path):
    rows = [{"question": "a", "answer": 3}, {"question": "b", "answer": "x"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read(tmp_path, ["question", "answer"]) == rows


@pytest.mark.parametrize("indent", [None, 2])
def test_json_list(tmp_path, indent):
    rows = [{"question": "a], [", "answer": [1, 2]}, {"question": "b", "answer": None}]
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=indent))
    assert read(tmp_path / "rows.json", ["question", "answer"]) == rows


def test_json_file_with_an_object_on_each_line(tmp_path):
    write_jsonl(tmp_path / "rows.json", [{"question": "a"}, {"question": "b"}])
    assert read(tmp_path / "rows.json", ["question"]) == [{"question": "a"}, {"question": "b"}]


def test_csv_folder(tmp_path):
    (tmp_path / "rows.csv").write_text("question,answer\na,1\nb,2\n")
    rows = read(tmp_path, ["question", "answer"])
    assert rows == [{"question": "a", "answer": 1}, {"question": "b", "answer": 2}]


def test_limit_reads_no_further(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", ROWS_WITHOUT_IMAGES)
    opened = open_source(str(tmp_path / "rows.jsonl"), split="train")
    assert len(list(opened.rows(["question"], limit=5))) == 5


ROWS_WITHOUT_IMAGES = [{"question": row["question"], "answer": row["answer"]} for row in ROWS]


def test_world_has_as_many_samples_as_asked_for():
    opened = open_source("world:heldout", split="train", limit=5)
    rows = list(opened.rows(opened.columns))
    assert len(rows) == 5
    assert rows[0]["images"][0].startswith(b"\x89PNG")
    assert opened.name == "world"


def test_world_needs_a_limit_and_a_known_split():
    with pytest.raises(InputError, match="--limit"):
        open_source("world:train", split="train")
    with pytest.raises(InputError, match="world:heldout"):
        open_source("world:tests", split="train", limit=5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", '{"question": "a"}\n{"quest', "line 2 is no JSON"),
        ("rows.jsonl", '{"question": "a"}\n[1]\n', "line 2 is no JSON object"),
        ("rows.json", '[{"question": "a"}, 7]', "item 2 is no JSON object"),
        ("rows.json", '[{"question": "a"}', "can't be read"),
        ("rows.jsonl", b"\xff\xfe\x00", "can't be read"),
        ("rows.parquet", "PAR1 no", "can't be read"),
        ("rows.txt", "a", "of no kind that can be read"),
    ],
)
def test_unreadable_files_are_input_errors(tmp_path, name, content, message):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read(tmp_path / name, ["question"])


@pytest.mark.parametrize("name", ["nothing/here/at/all", "rows.parquet", "./rows.jsonl"])
def test_a_path_that_is_not_there_is_an_input_error(name):
    with pytest.raises(InputError, match="There is no"):
        open_source(name, split="train")


def test_a_hub_id_that_cannot_be_reached_is_an_input_error(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="nobody/nothing-at-all can't be read"):
        open_source("nobody/nothing-at-all", split="train")


def test_an_empty_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="can't be read"):
        open_source(str(tmp_path), split="train")


def test_image_folder_with_metadata(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    rows = [{"file_name": f"{i}.png", "question": f"{i}?"} for i in range(3)]
    write_jsonl(tmp_path / "metadata.jsonl", rows)
    found = read(tmp_path, ["question", "image"])
    assert [row["question"] for row in found] == ["0?", "1?", "2?"]
    assert [row["image"]["path"].rpartition("/")[2] for row in found] == ["0.png", "1.png", "2.png"]


def test_folder_with_questions_beside_images(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(3):
        (tmp_path / "images" / f"{i}.png").write_bytes(png(i))
    rows = [{"question": f"{i}?", "image": f"images/{i}.png"} for i in range(3)]
    write_jsonl(tmp_path / "questions.jsonl", rows)
    assert read(tmp_path, ["question", "image"]) == rows
    write_jsonl(tmp_path / "test.jsonl", rows[:1])
    assert read(tmp_path, ["question", "image"], split="test") == rows[:1]
    with pytest.raises(InputError, match=r"Choose one with --split: .*test"):
        open_source(str(tmp_path), split="train")


def test_labels_are_read_by_name(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog"])
    rows = [{"question": "What?", "answer": number} for number in (1, 0, None, -1)]
    dataset = datasets.Dataset.from_list(rows).cast_column("answer", kind)
    dataset.save_to_disk(tmp_path / "saved")
    dataset.to_parquet(tmp_path / "rows.parquet")
    for name in ("saved", "rows.parquet"):
        found = [row["answer"] for row in read(tmp_path / name, ["answer"])]
        assert found == ["dog", "cat", None, None]


def test_an_image_folder_that_is_not_there_is_an_input_error(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"question": "a"}])
    with pytest.raises(InputError, match="--image-folder"):
        open_source(str(tmp_path / "rows.jsonl"), split="train", image_folder=tmp_path / "no")
