import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import tables
from data.errors import InputError
from data.records import Caption, Sample, Verdict, schema
from data.tables import Metadata, taking

METADATA = Metadata(stage="caption", digest="abc", settings={"num_captions": 8}, num_rows=3)


def captions(num_rows=3, sample_id="a"):
    return tables.to_table(
        [Caption(sample_id=sample_id, caption_index=i, text=f"text {i}") for i in range(num_rows)],
        Caption,
    )


def write_foreign(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


KEYS = {"sample_id": ["a"], "caption_index": pa.array([0], pa.int32())}
CAPTION = KEYS | {"text": ["x"], "num_tokens": [1], "finish_reason": ["stop"]}


def test_what_is_written_is_read(tmp_path):
    path = tables.shard_path(tmp_path / "captions", 0, 2)
    assert tables.write_atomically(path, captions(), METADATA)
    assert path.name == "part-00000-of-00002.parquet"
    assert pa.Table.from_batches(tables.read_batches(path, Caption)) == captions()
    assert list(tables.read_rows(path, Caption)) == captions().to_pylist()
    assert tables.read_metadata(path) == METADATA
    assert pq.read_schema(path).equals(schema(Caption))


def test_metadata_added_while_writing_is_read_too(tmp_path):
    with pq.ParquetWriter(tmp_path / "x.parquet", schema(Caption)) as writer:
        writer.write_table(captions())
        writer.add_key_value_metadata(METADATA.encode())
    assert tables.read_metadata(tmp_path / "x.parquet") == METADATA


def test_a_finished_shard_is_never_replaced(tmp_path):
    path = tables.shard_path(tmp_path, 0, 1)
    assert tables.write_atomically(path, captions(3), METADATA)
    assert not tables.write_atomically(path, captions(1), METADATA)
    assert len(list(tables.read_rows(path, Caption))) == 3
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(writer, table):
        raise OSError("no space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="no space"):
        tables.write_atomically(tables.shard_path(tmp_path, 0, 1), captions(), METADATA)
    assert list(tmp_path.iterdir()) == []


def test_readers_see_finished_shards_only_and_in_order(tmp_path):
    assert tables.shards(tmp_path / "nothing") == []
    for index in (2, 0):
        tables.write_atomically(tables.shard_path(tmp_path, index, 3), captions(), METADATA)
    (tmp_path / ".part-00001-of-00003.parquet.123").write_bytes(b"")
    (tmp_path / "part-00001-of-00003.parquet.crc").write_bytes(b"")
    (tmp_path / ".parts").mkdir()
    expected = [tables.shard_path(tmp_path, index, 3) for index in (0, 2)]
    assert tables.shards(tmp_path) == expected
    assert tables.shard_count(tmp_path) == 3
    assert not tables.is_complete(tmp_path)
    tables.write_atomically(tables.shard_path(tmp_path, 1, 3), captions(), METADATA)
    assert tables.is_complete(tmp_path)


def test_a_folder_without_a_table(tmp_path):
    assert not tables.is_complete(tmp_path)
    with pytest.raises(InputError, match="holds no table"):
        tables.shard_count(tmp_path)


def test_shards_of_two_tables_are_an_input_error(tmp_path):
    tables.write_atomically(tables.shard_path(tmp_path, 0, 1), captions(), METADATA)
    tables.write_atomically(tables.shard_path(tmp_path, 0, 2), captions(), METADATA)
    with pytest.raises(InputError, match=r"mixes shards of tables with \[1, 2\] shards"):
        tables.is_complete(tmp_path)


def test_columns_are_read_in_the_order_wanted(tmp_path):
    path = tables.shard_path(tmp_path, 0, 1)
    tables.write_atomically(path, captions(5), METADATA)
    batches = list(tables.read_batches(path, Caption, ["text", "sample_id"], batch_size=2))
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert batches[0].schema.names == ["text", "sample_id"]


def test_columns_that_another_tool_left_out_are_null(tmp_path):
    path = write_foreign(tables.shard_path(tmp_path, 0, 1), **CAPTION, extra=[1])
    (row,) = tables.read_rows(path, Caption)
    assert (row["text"], row["num_tokens"]) == ("x", 1)
    assert (row["seed"], row["token_ids"], row["error"]) == (None, None, None)
    assert set(row) == set(schema(Caption).names)
    assert list(tables.read_rows(path, Caption, ["error"])) == [{"error": None}]
    assert tables.read_metadata(path) is None


def test_types_that_other_tools_write_are_cast(tmp_path):
    images = pa.array(
        [[{"path": "a.png", "bytes": b"1"}]],
        pa.large_list(pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])),
    )
    path = write_foreign(
        tables.shard_path(tmp_path, 0, 1),
        sample_id=pa.array(["a"]).dictionary_encode(),
        question=pa.array(["?"], pa.large_string()),
        images=images,
    )
    (row,) = tables.read_rows(path, Sample)
    assert (row["sample_id"], row["question"]) == ("a", "?")
    assert row["images"] == [{"bytes": b"1", "path": "a.png"}]


@pytest.mark.parametrize("missing", ["sample_id", "text", "num_tokens", "finish_reason"])
def test_a_missing_column_that_is_needed_is_an_input_error(tmp_path, missing):
    columns = {name: values for name, values in CAPTION.items() if name != missing}
    path = write_foreign(tables.shard_path(tmp_path, 0, 1), **columns)
    with pytest.raises(InputError, match=f"has no column '{missing}'"):
        list(tables.read_rows(path, Caption))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("num_tokens", ["many"]),
        ("num_tokens", [2**40]),
        ("num_tokens", [1.5]),
        ("token_ids", ["1 2 3"]),
        ("token_ids", [{"a": 1}]),
    ],
)
def test_a_column_of_another_type_is_an_input_error(tmp_path, column, values):
    path = write_foreign(tables.shard_path(tmp_path, 0, 1), **(CAPTION | {column: values}))
    with pytest.raises(InputError, match=f"Column '{column}' of .* can't be read as"):
        list(tables.read_rows(path, Caption))


def test_a_file_that_is_no_parquet_is_an_input_error(tmp_path):
    path = tables.shard_path(tmp_path, 0, 1)
    path.write_bytes(b"PAR1 and so on")
    with pytest.raises(InputError, match="can't be read as Parquet"):
        tables.read_metadata(path)


def test_a_damaged_page_is_an_input_error(tmp_path):
    path = tables.shard_path(tmp_path, 0, 1)
    tables.write_atomically(path, captions(500), METADATA)
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(len(data) // 4) + data[4 + len(data) // 4 :])
    with pytest.raises(InputError, match="can't be read as Parquet"):
        list(tables.read_rows(path, Caption))


def test_a_newer_schema_version_is_an_input_error(tmp_path):
    newer = {b"sophia": json.dumps({"schema_version": 99, "surprise": 1}).encode()}
    pq.write_table(captions().replace_schema_metadata(newer), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="newer version"):
        tables.read_metadata(tmp_path / "x.parquet")


def test_digest_of_a_table(tmp_path):
    def digest_after_writing(name, *digests):
        for index, digest in enumerate(digests):
            path = tables.shard_path(tmp_path / name, index, len(digests))
            tables.write_atomically(path, captions(), Metadata(stage="caption", digest=digest))
        return tables.table_digest(tmp_path / name)

    assert digest_after_writing("a", "x", "x") == "x"
    mixed = digest_after_writing("b", "x", "y")
    assert mixed == digest_after_writing("c", "y", "x") != "x"


def test_digest_of_a_foreign_table_is_that_of_its_bytes(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        write_foreign(tables.shard_path(tmp_path / name, 0, 1), **(CAPTION | {"text": [text]}))
    a, b, c = (tables.table_digest(tmp_path / name) for name in "abc")
    assert a == b != c


def test_digest_of_anything():
    assert tables.digest_of({"a": 1, "b": [None, "é"]}) == tables.digest_of(
        {"b": [None, "é"], "a": 1}
    )
    assert tables.digest_of("a", "b") != tables.digest_of("ab")
    assert len(tables.digest_of()) == 16


def test_no_rows_make_a_table_too(tmp_path):
    path = tables.shard_path(tmp_path, 0, 1)
    tables.write_atomically(path, tables.to_table([], Verdict), METADATA)
    assert list(tables.read_rows(path, Verdict)) == []


def test_little_memory_is_needed_for_a_large_shard(tmp_path):
    path = tmp_path / "x.parquet"
    noise = [i.to_bytes(4, "big") * 25_000 for i in range(64)]
    rows = [
        Sample(sample_id=str(i), images=[{"bytes": data, "path": None}], question="?")
        for i, data in enumerate(noise)
    ]
    with pq.ParquetWriter(path, schema(Sample), compression="none", use_dictionary=False) as writer:
        for _ in range(20):
            writer.write_table(tables.to_table(rows, Sample))
    before = pa.total_allocated_bytes()
    most = max(
        pa.total_allocated_bytes() - before
        for _ in tables.read_batches(path, Sample, batch_size=16)
    )
    assert path.stat().st_size > 120e6
    assert most < 40e6


@pytest.mark.parametrize("sought_bytes", [1, 2**23])
def test_rows_are_read_from_the_row_groups_that_hold_them(tmp_path, monkeypatch, sought_bytes):
    monkeypatch.setattr(taking, "SOUGHT_BYTES", sought_bytes)
    monkeypatch.setattr(taking, "SOUGHT_ROWS", 15)
    monkeypatch.setattr(taking, "TAKEN_ROWS", 2)
    path = tmp_path / "part-00000-of-00001.parquet"
    rows = [{"sample_id": f"s{number:03}", "question": "?" * number} for number in range(100)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10, compression="none")
    content = bytearray(path.read_bytes())
    hole = content.index(b"s055")
    content[hole - 200 : hole] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError):
        list(tables.read_batches(path, Sample, ("sample_id", "question")))
    wanted = np.array([0, 8, 9, 10, 33, 99])
    found = list(tables.read_rows_at(path, Sample, ("sample_id", "question"), wanted))
    assert all(table.num_rows <= 2 for _, table in found)
    places = [place for here, _ in found for place in range(here.start, here.stop)]
    assert places == list(range(6))
    read = [row for _, table in found for row in table.to_pylist()]
    assert read == [rows[number] for number in wanted]
    assert list(tables.read_rows_at(path, Sample, ("sample_id",), np.array([], int))) == []


@pytest.mark.parametrize("num_texts", [4, 4096])
def test_taking_rows_needs_little_memory_however_long_their_texts(tmp_path, num_texts):
    path = tmp_path / "part-00000-of-00001.parquet"
    texts = pa.array([f"{number} " * 10_000 for number in range(num_texts)])
    rows = texts.take(pa.array(np.arange(4096) % num_texts))
    columns = {"sample_id": pa.array(map(str, range(4096))), "question": rows}
    nothing = {
        name: pa.nulls(4096, schema(Sample).field(name).type) for name in schema(Sample).names
    }
    tables.write_atomically(path, pa.table(nothing | columns, schema=schema(Sample)), METADATA)
    wanted = np.arange(0, 4096, 64)
    whole, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        found = tables.read_rows_at(path, Sample, ("sample_id", "question"), wanted)
        assert sum(table.num_rows for _, table in found) == 64
    finally:
        pa.set_memory_pool(whole)
    assert rows.nbytes > 80e6
    assert pool.max_memory() < 55e6


def test_columns_of_nothing_are_there_though_they_are_not_read(tmp_path):
    path = tmp_path / "part-00000-of-00001.parquet"
    rows = [Sample(sample_id=name, question="?") for name in "ab"]
    tables.write_atomically(path, tables.to_table(rows, Sample), METADATA)
    columns = ("hint", "sample_id", "choices", "difficulty")
    (batch,) = tables.read_batches(path, Sample, columns, encoded=("hint",))
    nothing = dict.fromkeys(("hint", "choices", "difficulty"))
    assert batch.to_pylist() == [{**nothing, "sample_id": name} for name in "ab"]
    (batch,) = tables.read_batches(path, Sample, ("hint",))
    assert batch.to_pylist() == [{"hint": None}] * 2


def test_text_as_dictionaries(tmp_path):
    path = tmp_path / "part-00000-of-00001.parquet"
    column = pa.array(["a", "b", None, "a"], pa.large_string())
    pq.write_table(pa.table({"sample_id": [1, 2, 2, 1], "source": column}), path)
    columns = ("sample_id", "source")
    (batch,) = tables.read_batches(path, Sample, columns, encoded=columns)
    assert all(pa.types.is_dictionary(column.type) for column in batch.columns)
    assert batch["sample_id"].to_pylist() == ["1", "2", "2", "1"]
    assert batch["source"].to_pylist() == ["a", "b", None, "a"]
