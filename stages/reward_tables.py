"""What propagate-reward writes: rewards as columns, trajectories with their texts.

The texts of the rollouts that were chosen are read from the row groups that hold one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import tables
from data.records import Reward, Rollout, Trajectory, schema
from stages.rollout_columns import LENGTH, Floats, Ints, Mask, Rollouts
from stages.rollout_shard import NOT_KNOWN, Shard

REWARDS = pa.schema(
    column.with_type(pa.dictionary(pa.int32(), column.type))
    if column.type == pa.string()
    else column
    for column in schema(Reward)
)
"""The schema of rewards, each text once for many rows."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What becomes of some rollouts, one value for each."""

    selected: Mask
    """Whether it becomes a trajectory."""
    reasons: pa.Array
    """Why, or why not."""
    reward: Floats
    """What a trajectory of it trains with."""
    advantage: Floats
    thinking: Floats | None
    """R_t as far as it counts; NaN: not at all. None: no rollout has one."""
    trust: Floats | None
    """Gamma of its group; NaN: there is none."""


def reward_table(
    shard: Shard, rollouts: Rollouts, caption_rewards: Floats, choice: Choice
) -> pa.Table:
    """What became of some rollouts, as rows of the table of rewards.

    Args:
        shard: where they are from.
        rollouts: the rollouts.
        caption_rewards: R(c) of each caption; NaN: not known.
        choice: what became of them.
    """
    first, last = int(rollouts.sample[0]), int(rollouts.sample[-1])
    names = pa.array(shard.sample_ids[first : last + 1], pa.string())
    caption_reward = rollouts.of_caption(caption_rewards.astype(np.float32))
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(rollouts.sample - first), names),
        pa.array(rollouts.caption),
        pa.array(rollouts.rollout),
        pa.array(rollouts.outcome, from_pandas=True),
        pa.array(caption_reward, from_pandas=True),
        pa.array(choice.selected),
        choice.reasons,
        *(
            pa.nulls(len(rollouts.row), pa.float32())
            if values is None
            else pa.array(values, from_pandas=True)
            for values in (choice.thinking, choice.trust)
        ),
    ]
    return pa.table(columns, schema=REWARDS)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Rollouts that become trajectories."""

    row: Ints
    """Where it stands in the table of rollouts."""
    values: dict[str, Floats]
    """Columns of the table of trajectories; NaN: null."""

    @classmethod
    def of(cls, rollouts: Rollouts, choice: Choice) -> Self:
        """Those of some rollouts that were chosen."""
        here = choice.selected
        values = {"reward": choice.reward[here], "advantage": choice.advantage[here]}
        if choice.thinking is not None and choice.trust is not None:
            values["outcome_reward"] = rollouts.outcome[here]
            values["thinking_reward"] = choice.thinking[here]
            values["trust_weight"] = choice.trust[here]
        return cls(row=rollouts.row[here], values=values)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All of them, in the order of the table of rollouts."""
        if not parts:
            return cls(row=np.array([], np.int32), values={})
        row = np.concatenate([part.row for part in parts])
        order = np.argsort(row)
        values = {
            name: np.concatenate([part.values[name] for part in parts])[order]
            for name in parts[0].values
        }
        return cls(row=row[order], values=values)


def trajectory_tables(
    path: Path, shard: Shard, chosen: Chosen, is_on_policy: bool
) -> Iterator[pa.Table]:
    """The chosen rollouts with their texts, in the order of the table of rollouts.

    Args:
        path: the shard of rollouts.
        shard: what was read of it.
        chosen: which ones, and what they train with.
        is_on_policy: the tokens are the policy's own.
    """
    columns = schema(Trajectory)
    names = ("text", "prefill", "logprob", *(("token_ids",) if is_on_policy else ()))
    sample_ids = pa.array(shard.sample_ids, pa.string())
    ends = pa.array(["stop", "length"])
    found = {name: column[chosen.row] for name, column in shard.columns.items()}
    for here, texts in tables.read_rows_at(path, Rollout, names, chosen.row):
        own = {name: column[here] for name, column in found.items()}
        prefill, text = texts["prefill"].fill_null(""), texts["text"].fill_null("")
        made = {
            "sample_id": sample_ids.take(pa.array(own["sample"])),
            "caption_index": own["caption"],
            "rollout_index": own["rollout"],
            "response": pc.binary_join_element_wise(prefill, text, ""),
            "num_tokens": pa.array(own["num_tokens"], mask=own["num_tokens"] == NOT_KNOWN),
            "finish_reason": ends.take(pa.array((own["finish"] == LENGTH).astype(np.int8))),
            "behavior_logprob": texts["logprob"],
        }
        made |= {"token_ids": texts["token_ids"]} if is_on_policy else {}
        made |= {
            name: pa.array(values[here].astype(np.float32), from_pandas=True)
            for name, values in chosen.values.items()
        }
        made |= {name: pa.nulls(len(texts)) for name in columns.names if name not in made}
        yield pa.table(made, schema=columns)
