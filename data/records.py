"""The rows of every table: one frozen dataclass each, from which its Arrow schema follows.

A field's Arrow type stands in its annotation; a field that may be missing has a default. Keys are
(sample_id, caption_index, rollout_index); on-policy rollouts, which have no caption, use
caption_index 0.
"""

from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

import pyarrow as pa

SCHEMA_VERSION = 1

REQUIRED = "required"
"""Marks a column that every table must have though a row may have nothing there."""

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

Text = Annotated[str, pa.string()]
OptionalText = Annotated[str | None, pa.string()]
RequiredText = Annotated[str | None, pa.string(), REQUIRED]
Int32 = Annotated[int, pa.int32()]
RequiredInt32 = Annotated[int, pa.int32(), REQUIRED]
Int64 = Annotated[int, pa.int64()]
OptionalFloat32 = Annotated[float | None, pa.float32()]
TokenIds = Annotated[list[int] | None, pa.list_(pa.int32())]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A question about images with its gold answer. Table `samples`."""

    sample_id: Text
    """Hex digest of images, question, choices and answer: the same content, the same id."""
    images: Annotated[list[dict[str, Any]] | None, pa.list_(IMAGE_TYPE)] = None
    """`{"bytes": encoded image, "path": where it came from}`, in the order of the question."""
    question: OptionalText = None
    answer: OptionalText = None
    """The gold answer; null where there is none (such a sample can be asked, not verified)."""
    answer_type: OptionalText = None
    """What kind of answer it is, such as `number` or `choice`; null: taken from the answer."""
    choices: Annotated[list[str] | None, pa.list_(pa.string())] = None
    """The options of a multiple-choice question, in the order of their letters A, B, ..."""
    hint: OptionalText = None
    """Text the benchmark puts before the question."""
    source: OptionalText = None
    """The data set the sample came from."""
    difficulty: OptionalFloat32 = None
    """One minus the pass rate to expect, from 0 to 1; null: not known."""
    tolerance: OptionalText = None
    """How far from the gold answer a number may be: `0.01`, or relative to it, `1%`; null: as the
    question says."""
    error: OptionalText = None
    """Why the sample can't be used (broken image, empty question); null: it can."""


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One description of a sample's images by the policy. Table `captions`."""

    sample_id: Text
    caption_index: Int32
    """0 .. K-1"""
    text: RequiredText = None
    """The description, without its end-of-turn token."""
    num_tokens: RequiredInt32 = 0
    """Tokens generated, the end-of-turn token included."""
    token_ids: TokenIds = None
    """The tokens generated, under the tokenizer of the model that wrote them; null: not known."""
    finish_reason: Annotated[str, pa.string(), REQUIRED] = "error"
    """`stop`, `length`, `pruned` or `error`"""
    seed: Int64 = 0
    model: OptionalText = None
    error: OptionalText = None


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One reasoning attempt, from a caption or from the image itself. Table `rollouts`."""

    sample_id: Text
    caption_index: Int32
    rollout_index: Int32
    """0 .. N-1"""
    text: RequiredText = None
    """What the model wrote, without its end-of-turn token."""
    num_tokens: RequiredInt32 = 0
    """Tokens generated, the end-of-turn token included: the length that Eq. 6 minimises."""
    token_ids: TokenIds = None
    logprob: Annotated[float | None, pa.float64()] = None
    """Sum over tokens of the log-probability under the model that wrote it, at temperature 1."""
    finish_reason: Annotated[str, pa.string(), REQUIRED] = "error"
    seed: Int64 = 0
    model: OptionalText = None
    error: OptionalText = None
    prefill: OptionalText = None
    """What the chat template wrote of the answer itself, such as `<think>` and a line break."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a rollout's final answer is right. Table `verdicts`."""

    sample_id: Text
    caption_index: Int32
    rollout_index: Int32
    status: Text
    """`correct`, `incorrect`, `no_answer`, `truncated`, `timeout`, `unverifiable` or `error`"""
    outcome_reward: Annotated[float | None, pa.float32(), REQUIRED] = None
    """R(y) of Eq. 4: 1 right, 0 wrong, null not judged; in between for OCR and free text."""
    extracted_answer: OptionalText = None
    verifier: OptionalText = None
    """Name of the rule that decided; `llm_judge` where a model did, against the rules."""
    rule_status: OptionalText = None
    """What the rules alone said; null where no model was asked."""
    llm: OptionalText = None
    """The model that was asked, and of each prompt the beginning of its digest."""
    llm_text: OptionalText = None
    """Its last reply."""


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """How well a rollout thinks, as a judge model has it. Table `thinking`."""

    sample_id: Text
    caption_index: Int32
    rollout_index: Int32
    thinking_reward: Annotated[float | None, pa.float32(), REQUIRED] = None
    """R_t of SophiaVL-R1, in [0, 1] in steps of 0.1; null: the judge named no score."""
    text: OptionalText = None
    """The judgement; null where there was no thinking to judge, which makes R_t 0, or an error."""
    num_tokens: Int32 = 0
    token_ids: TokenIds = None
    finish_reason: Text = "error"
    model: OptionalText = None
    error: OptionalText = None


@dataclass(frozen=True, kw_only=True)
class Reward:
    """What became of a rollout. Table `rewards`."""

    sample_id: Text
    caption_index: Int32
    rollout_index: Int32
    outcome_reward: OptionalFloat32 = None
    caption_reward: OptionalFloat32 = None
    """R(c) of Eq. 5: mean outcome reward of the caption's N rollouts, or of the judged ones where
    the others could not move it across alpha; null where they could, or none is judged."""
    selected: Annotated[bool, pa.bool_()] = False
    reason: OptionalText = None
    """Why it was selected, or why not."""
    thinking_reward: OptionalFloat32 = None
    """R_t of SophiaVL-R1, as far as it counts; null outside of groups, or where not scored."""
    trust_weight: OptionalFloat32 = None
    """Gamma of its group, the rollouts of its sample; null where there is nothing to compare."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """A response the policy trains on, given image and question. Table `trajectories`."""

    sample_id: Text
    caption_index: Int32
    rollout_index: Int32
    response: OptionalText = None
    reward: OptionalFloat32 = None
    """What the objective `sophia` weighs it with: 1, or R_o for a rollout of a group."""
    advantage: OptionalFloat32 = None
    """1, or what `grpo` trains with: (R_o - mean) / standard deviation over the group."""
    num_tokens: Annotated[int | None, pa.int32()] = 0
    """As in the rollout; null: not known, since the response is a part of what was written."""
    token_ids: TokenIds = None
    """The policy's own tokens for an on-policy rollout; null where the reasoner wrote it."""
    finish_reason: OptionalText = None
    outcome_reward: OptionalFloat32 = None
    """R_o. A group is a sample's trajectories where this is there; null: they are no group."""
    thinking_reward: OptionalFloat32 = None
    """R_t as far as it counts; null: not scored."""
    trust_weight: OptionalFloat32 = None
    """Gamma of its group; null where there is nothing to compare."""
    behavior_logprob: Annotated[float | None, pa.float64()] = None
    """log mu(y): the rollout's own `logprob`."""


@dataclass(frozen=True, kw_only=True)
class Attempted:
    """An answer given in an evaluation, with its verdict. Table `evals/<benchmark>`."""

    sample_id: Text
    caption_index: Int32
    """Always 0: answers are given from the image."""
    rollout_index: Int32
    """0 .. num_samples-1"""
    text: OptionalText = None
    num_tokens: Int32 = 0
    finish_reason: Text = "error"
    status: Text = "error"
    outcome_reward: OptionalFloat32 = None
    extracted_answer: OptionalText = None
    gold: OptionalText = None
    error: OptionalText = None
    rule: OptionalText = None
    """What decided: the benchmark's own rule, or one of the verifier's."""
    scorer: OptionalText = None
    """The version of the rules that scored it."""
    verifier_reward: OptionalFloat32 = None
    """What the project's verifier says, where a benchmark has a rule of its own."""
    cluster: OptionalText = None
    """Questions made from the same seed share this; null: the question is on its own."""
    labels: OptionalText = None
    """JSON: sub-score -> the group that the question is in."""
    question: OptionalText = None
    """What was asked, with hint and options."""
    choices: Annotated[list[str] | None, pa.list_(pa.string())] = None
    prefill: OptionalText = None
    """As in a `Rollout`."""


@cache
def schema(record: type) -> pa.Schema:
    """The Arrow schema of a record class: a field per dataclass field, in order."""
    hints = get_type_hints(record, include_extras=True)
    return pa.schema([pa.field(f.name, hints[f.name].__metadata__[0]) for f in fields(record)])


@cache
def required_columns(record: type) -> tuple[str, ...]:
    """The columns that a table of this record can't do without."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(
        f.name
        for f in fields(record)
        if f.default is MISSING or REQUIRED in hints[f.name].__metadata__
    )


KEYS = ("sample_id", "caption_index", "rollout_index")


@cache
def _key_columns(record: type) -> tuple[str, ...]:
    names = {f.name for f in fields(record)}
    return tuple(name for name in KEYS if name in names)


def key(row: Any) -> tuple[Any, ...]:
    """A record's key: sample_id, then caption_index and rollout_index where it has them."""
    record: type = type(row)
    values = vars(row)
    return tuple([values[name] for name in _key_columns(record)])
