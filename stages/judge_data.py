"""Data to train a judge of one's own on: judgements of a larger one, evenly over their scores.

Input tables: samples, rollouts, thinking of a run. Output tables: samples and trajectories of
another one, for `train.objective = "sft"`.

SophiaVL-R1 had responses scored by a 72B model, sampled these evenly over ten bins of scores, and
fine-tuned a 3B model on them. A question of the new run is what the judge is asked, in the words of
`judge.prompt`; the response is what the larger one said.

    sophia judge-data --run RUN --to JUDGE_RUN --per-bin 15000
    sophia train --run JUDGE_RUN --set train.objective=sft --set models.policy.path=MODEL
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import tables
from data.errors import InputError, RefusedError, Stopped
from data.records import Rollout, Sample, Thinking, Trajectory
from data.report import Report
from stages.generation import require_table, unknown_sample
from stages.prompts import judge_text
from stages.seeds import Draw
from stages.thinking import ROLLOUT_COLUMNS, sample_columns, thinking_of
from stages.verifiers.responses.extract import after_thinking

NUM_BINS = 10
JUDGEMENT_COLUMNS = (
    *("sample_id", "caption_index", "rollout_index"),
    *("thinking_reward", "text", "num_tokens", "finish_reason"),
)
Key = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True)
class JudgeData:
    """What was taken of each bin of scores."""

    there: list[int]
    """Judgements with a score from 0.0 to below 0.1, ..., from 0.9 to 1.0."""
    taken: list[int]


def bin_of(score: float) -> int:
    """0 for scores below 0.1, ..., 9 for 0.9 and 1.0."""
    return min(int(score * NUM_BINS + 1e-3), NUM_BINS - 1)  # 0.3 as float32 is a little less


def sample_evenly(
    scores: Iterable[tuple[Key, float]], per_bin: int, seed: int
) -> tuple[set[Key], JudgeData]:
    """At most so many of each bin, at random; which ones follows from their keys.

    Args:
        scores: the score of each; only as many as are taken are held in memory.
        per_bin: most of a bin; one that has fewer gives all.
        seed: the run's.
    """
    there = [0] * NUM_BINS
    bins = [Draw[Key](per_bin, seed, "judge-data") for _ in range(NUM_BINS)]
    for key, score in scores:
        number = bin_of(score)
        there[number] += 1
        bins[number].offer(key, *key)
    chosen = {key for drawn in bins for key in drawn}
    return chosen, JudgeData(there=there, taken=[len(drawn) for drawn in bins])


def make_judge_data(
    run_dir: Path,
    target: Path,
    *,
    prompt: str,
    with_images: bool,
    per_bin: int,
    seed: int,
    report: Report,
    should_stop: Callable[[], bool],
) -> JudgeData:
    """Write the new run's tables.

    Args:
        run_dir: the run with the judgements.
        target: the new run.
        prompt: what the new judge is asked; a text with `{{names}}`.
        with_images: whether it sees the images.
        per_bin: most judgements of a bin.
        seed: of the draw.
        report: where progress goes.
        should_stop: turns true on a signal.

    Raises:
        InputError: a table is missing, or there is no judgement.
        RefusedError: the new run holds something else.
        Stopped: on a signal.
    """
    count = require_table(run_dir / "samples", "sophia ingest")
    require_table(run_dir / "rollouts", "sophia reason --set reason.behavior=image", count)
    require_table(run_dir / "thinking", "sophia judge", count)
    settings = {"prompt": prompt, "with_images": with_images, "per_bin": per_bin}
    inputs = [tables.table_digest(run_dir / name) for name in ("samples", "thinking")]
    metadata = tables.Metadata(
        stage="judge-data",
        digest=tables.digest_of("judge-data", settings, inputs, seed),
        settings={"run.seed": seed, **settings},
    )
    _refuse_others(target, metadata)
    chosen, result = sample_evenly(_scores(run_dir, count), per_bin, seed)
    if not chosen:
        raise InputError(
            f"{run_dir / 'thinking'} holds no judgement that names a score.",
            "Look at its `error` column, and run `sophia judge --redo errors`.",
        )
    report.start("judge data", count, 0)
    for index in range(count):
        if should_stop():
            raise Stopped("Stopped early.", "Run the same command again to go on.")
        made = list(_conversations(run_dir, index, count, chosen, prompt, with_images=with_images))
        for record, name in ((Trajectory, "trajectories"), (Sample, "samples")):
            rows = [row for pair in made for row in pair if isinstance(row, record)]
            path = tables.shard_path(target / name, index, count)
            tables.write_atomically(path, tables.to_table(rows, record), metadata)
        report.advance(rows=1)
    return result


def _refuse_others(target: Path, metadata: tables.Metadata) -> None:
    for name in ("samples", "trajectories"):
        for path in tables.shards(target / name):
            found = tables.read_metadata(path)
            if found is None or found.digest != metadata.digest:
                raise RefusedError(
                    f"{target} holds {name} that were made in another way.",
                    "Name another folder with --to, or delete this one.",
                )


def _judgements(run_dir: Path, index: int, count: int) -> Iterator[tuple[Key, dict[str, Any]]]:
    """A shard's judgements that ended and name a score."""
    path = tables.shard_path(run_dir / "thinking", index, count)
    for row in tables.read_rows(path, Thinking, JUDGEMENT_COLUMNS):
        is_scored = row["thinking_reward"] is not None and row["text"] is not None
        if is_scored and row["finish_reason"] == "stop":
            yield (row["sample_id"], row["caption_index"], row["rollout_index"]), row


def _scores(run_dir: Path, count: int) -> Iterator[tuple[Key, float]]:
    for index in range(count):
        for key, row in _judgements(run_dir, index, count):
            yield key, row["thinking_reward"]


def _conversations(
    run_dir: Path, index: int, count: int, chosen: set[Key], prompt: str, *, with_images: bool
) -> Iterator[tuple[Sample, Trajectory]]:
    """What the judge is asked about each chosen rollout, and what it is to say."""
    judged = {key: row for key, row in _judgements(run_dir, index, count) if key in chosen}
    wanted = {sample_id for sample_id, *_ in judged}
    path = tables.shard_path(run_dir / "samples", index, count)
    samples = {
        row["sample_id"]: row
        for row in tables.read_rows(path, Sample, sample_columns(with_images=with_images))
        if row["sample_id"] in wanted
    }
    path = tables.shard_path(run_dir / "rollouts", index, count)
    for row in tables.read_rows(path, Rollout, ROLLOUT_COLUMNS):
        key = (row["sample_id"], row["caption_index"], row["rollout_index"])
        thinking = thinking_of(row)
        if key not in judged or thinking is None:
            continue
        if (sample := samples.get(key[0])) is None:
            raise unknown_sample(path, key[0])
        name = "/".join(map(str, key))
        judgement = judged[key]
        # What a judge that thinks weighs in its head is not what the new one has to say.
        response = (after_thinking(judgement["text"]) or "").strip()
        is_whole = response == judgement["text"]
        yield (
            Sample(
                sample_id=name,
                images=sample.get("images", []),
                question=judge_text(sample, thinking, prompt),
                source="judge-data",
            ),
            Trajectory(
                sample_id=name,
                caption_index=0,
                rollout_index=0,
                response=response,
                reward=1.0,
                advantage=1.0,
                num_tokens=judgement["num_tokens"] if is_whole else None,
                finish_reason="stop",
            ),
        )
