"""Log-probabilities from before training: made once, and the same after a kill."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from stages import train
from stages.engines import ModelConfig, Request, Sampling, load_engine
from stages.prompts import answer_messages
from stages.training.scores import SCORES
from tests.stages.training.group_runs import write_group_run
from tests.stages.training.runs import (
    make_config,
    make_job,
    make_rows,
    start_attempt,
    steps_done,
    weights_hash,
    write_run,
)
from tests.stages.training.standing import Standing
from tests.stages.training.test_resume import wait_for_step

CASES: dict[str, dict[str, Any]] = {
    "trust-grpo": {"zero_stage": 2, "num_ranks": 2, "pack_length": 250},
    "grpo": {"zero_stage": 3, "num_ranks": 1, "lora_rank": 4, "learning_rate": 1e-2},
}
"""Settings of an objective: one trains all weights, one LoRA's adapters."""


@pytest.mark.parametrize(("objective", "kill_at"), [("trust-grpo", 0), ("grpo", 8)])
def test_killed_and_run_again_nothing_is_scored_twice_and_the_weights_are_the_same(
    objective: str,
    kill_at: int,
    tmp_path: Path,
    policy: Path,
    standing: Standing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed while it scores, or in training."""
    undisturbed = write_group_run(tmp_path / "undisturbed", 12)
    killed = write_group_run(tmp_path / "killed", 12)
    settings = {"batch_size": 8, "num_epochs": 2, "checkpoint_every": 3, **CASES[objective]}
    config = make_config(undisturbed, objective=objective, **settings)
    whole = train.run(make_job(undisturbed, policy, config), config)
    assert whole.figures["steps"] == 12
    first = steps_done(undisturbed)[0]
    assert first["largest_ratio_deviation"] < 1e-3
    assert first["kl"] < 1e-6 < steps_done(undisturbed)[-1]["kl"]

    attempt = start_attempt(killed, policy, config)
    scores = killed / "checkpoints" / train.WORK / "plan" / SCORES
    if kill_at:
        wait_for_step(killed, kill_at)
    while not list(scores.parent.glob("scores*")):  # whole or in parts
        time.sleep(0.01)
    attempt.send_signal(signal.SIGKILL)
    attempt.wait()
    before = scores.stat().st_mtime_ns if kill_at else None
    after = []

    def launch(*arguments: Any, **keywords: Any) -> None:
        standing.launch(*arguments, **keywords)
        after.append(scores.stat().st_mtime_ns)

    monkeypatch.setattr(train, "launch", launch)
    assert train.run(make_job(killed, policy, config), config).complete
    assert before in (None, *after), "they were made again"
    final = Path("checkpoints") / "final"
    assert weights_hash(killed / final) == weights_hash(undisturbed / final)


@pytest.mark.usefixtures("standing")
def test_the_ratio_to_the_behavior_model_before_and_after(tmp_path: Path, policy: Path) -> None:
    rows = make_rows(6)
    samples = [
        {"question": row["question"], "images": [{"bytes": each} for each in row["images"]]}
        for row in rows
    ]
    engine = load_engine("policy", ModelConfig(path=str(policy)))
    requests = [
        Request(
            id=number,
            messages=answer_messages(sample, "Think."),
            images=[image["bytes"] for image in sample["images"]],
            sampling=Sampling(max_tokens=30),
            seed=number,
            group=0,
        )
        for number, sample in enumerate(samples)
    ]
    for made in engine.generate(iter(requests), lambda: False):
        rows[made.id] |= {"response": made.text, "token_ids": list(made.token_ids)}
        rows[made.id] |= {"behavior_logprob": made.logprob, "finish_reason": made.finish_reason}
    engine.close()
    run_dir = write_run(tmp_path / "run", rows)
    config = make_config(run_dir, num_epochs=6, learning_rate=5e-3)
    ratio = train.run(make_job(run_dir, policy, config), config).figures["ratio"]
    before, after = ratio["before"], ratio["after"]
    assert before["written_by"] == "policy" and "warning" not in ratio
    assert before["num_rows"] == 6
    assert before["delta"] < 1e-3, "the policy wrote them, under this very prompt"
    assert before["effective_sample_size"] == pytest.approx(6, rel=1e-5)
    assert after["delta"] > 10 * before["delta"]
    assert after["log_ratio_per_sequence"]["median"] > 0, "they became more likely"
    assert (run_dir / "metrics" / "ratio.json").exists()
