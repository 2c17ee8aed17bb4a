from dataclasses import FrozenInstanceError, fields

import pyarrow as pa
import pytest

from data import tables
from data.records import (
    Caption,
    Reward,
    Rollout,
    Sample,
    Trajectory,
    Verdict,
    key,
    required_columns,
    schema,
)

KEYS = {"sample_id": pa.string(), "caption_index": pa.int32(), "rollout_index": pa.int32()}
GENERATED = {
    "text": pa.string(),
    "num_tokens": pa.int32(),
    "token_ids": pa.list_(pa.int32()),
    "finish_reason": pa.string(),
    "seed": pa.int64(),
    "model": pa.string(),
    "error": pa.string(),
}
COLUMNS = {
    Sample: {
        "sample_id": pa.string(),
        "images": pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "question": pa.string(),
        "answer": pa.string(),
        "answer_type": pa.string(),
        "choices": pa.list_(pa.string()),
        "hint": pa.string(),
        "source": pa.string(),
    },
    Caption: {"sample_id": pa.string(), "caption_index": pa.int32(), **GENERATED},
    Rollout: KEYS | GENERATED | {"logprob": pa.float64()},
    Verdict: KEYS
    | {
        "status": pa.string(),
        "outcome_reward": pa.float32(),
        "extracted_answer": pa.string(),
        "verifier": pa.string(),
    },
    Reward: KEYS
    | {
        "outcome_reward": pa.float32(),
        "caption_reward": pa.float32(),
        "selected": pa.bool_(),
        "reason": pa.string(),
    },
    Trajectory: KEYS
    | {
        "response": pa.string(),
        "reward": pa.float32(),
        "advantage": pa.float32(),
        "num_tokens": pa.int32(),
    },
}
"""The tables as other programs rely on them."""
REQUIRED = {
    Sample: "sample_id",
    Caption: "sample_id caption_index text num_tokens finish_reason",
    Rollout: "sample_id caption_index rollout_index text num_tokens finish_reason",
    Verdict: "sample_id caption_index rollout_index status outcome_reward",
    Reward: "sample_id caption_index rollout_index",
    Trajectory: "sample_id caption_index rollout_index",
}


@pytest.mark.parametrize("record", COLUMNS)
def test_schema_is_the_contract(record):
    found = {column.name: column.type for column in schema(record)}
    assert {name: found.get(name) for name in COLUMNS[record]} == COLUMNS[record]


@pytest.mark.parametrize("record", COLUMNS)
def test_columns_that_other_tools_must_write(record):
    assert required_columns(record) == tuple(REQUIRED[record].split())


@pytest.mark.parametrize("record", COLUMNS)
def test_columns_stand_in_the_order_of_the_fields(record):
    assert schema(record).names == [field.name for field in fields(record)]


def test_a_record_does_not_change():
    with pytest.raises(FrozenInstanceError):
        Caption(sample_id="a", caption_index=0).text = "b"


def test_keys():
    sample = Sample(sample_id="a", images=[], question="?")
    assert key(sample) == ("a",)
    assert key(Caption(sample_id="a", caption_index=1)) == ("a", 1)
    assert key(Rollout(sample_id="a", caption_index=1, rollout_index=2)) == ("a", 1, 2)


def test_records_survive_arrow():
    rollout = Rollout(
        sample_id="a", caption_index=0, rollout_index=1, text="x", token_ids=[1, 2], logprob=-0.1
    )
    sample = Sample(
        sample_id="a",
        images=[{"bytes": b"\0\xff", "path": None}],
        question="?",
        choices=["1", "2"],
    )
    for record in (rollout, sample):
        (row,) = tables.to_table([record], type(record)).to_pylist()
        assert type(record)(**row) == record


def test_a_value_of_another_type_is_not_taken():
    with pytest.raises(pa.ArrowException):
        tables.to_table([Caption(sample_id="a", caption_index="0")], Caption)
