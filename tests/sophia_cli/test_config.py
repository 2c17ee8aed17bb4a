"""Configuration: where values come from, and what is said of wrong ones."""

import json
from pathlib import Path

import pytest

from data.errors import ConfigError
from sophia_cli.config import resolve_config
from sophia_cli.stage_settings import borrowed_settings, stage_settings


def test_defaults_are_the_papers() -> None:
    config = resolve_config([], [], {}).config
    assert (config.caption.num_captions, config.caption.max_tokens) == (8, 32768)
    assert (config.reason.num_rollouts, config.reason.max_tokens) == (8, 32768)
    assert (config.propagate.alpha, config.propagate.keep) == (0.75, 1)
    assert config.propagate.select == "shortest"
    assert (config.train.batch_size, config.train.learning_rate) == (512, 2e-5)
    assert (config.train.weight_decay, config.train.final_lr_ratio) == (0.05, 0.25)
    assert list(config.train.freeze) == ["vision", "projector"]
    assert (config.eval.temperature, config.eval.top_p) == (1.0, 0.8)
    assert (config.eval.max_tokens, config.eval.num_samples) == (16384, 1)


def test_later_sources_win_and_origins_are_kept(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text("[caption]\nnum_captions = 2\ntop_p = 0.5\n[reason]\nnum_rollouts = 2\n")
    two.write_text("[caption]\nnum_captions = 3\n[run]\nseed = 5\n")
    resolved = resolve_config(
        [one, two],
        ["reason.num_rollouts=6", "models.policy.path=some/model"],
        {"SOPHIA_RUN__SEED": "7", "SOPHIA_REASON__NUM_ROLLOUTS": "4", "SOPHIA_RUN": "ignored"},
    )
    config = resolved.config
    assert (config.caption.num_captions, config.caption.top_p) == (3, 0.5)
    assert (config.run.seed, config.reason.num_rollouts) == (7, 6)
    assert config.models.policy.path == "some/model"
    origins = {key: origin for key, _, origin in resolved.explain()}
    assert origins["caption.num_captions"] == f"file {two}"
    assert origins["caption.top_p"] == f"file {one}"
    assert origins["run.seed"] == "environment SOPHIA_RUN__SEED"
    assert origins["reason.num_rollouts"] == "--set"
    assert origins["propagate.alpha"] == "default"


def test_settings_of_a_run_can_be_used_again(tmp_path: Path) -> None:
    values = ["caption.num_captions=3", "eval.benchmarks=world", "slurm.stages.reason.mem=1G"]
    config = resolve_config([], values, {}).config
    saved = tmp_path / "config.json"
    saved.write_text(json.dumps({"config": config.model_dump(mode="json"), "digests": {}}))
    assert resolve_config([saved], [], {}).config == config
    saved.write_text("{}")
    with pytest.raises(ConfigError, match=r"not the config\.json"):
        resolve_config([saved], [], {})


def test_engine_arguments_pass_through() -> None:
    config = resolve_config([], ["models.policy.engine_args.tensor_parallel_size=4"], {}).config
    assert config.models.policy.engine_args == {"tensor_parallel_size": 4}


@pytest.mark.parametrize(
    ("assignment", "what", "remedy"),
    [
        ("caption.num_caption=4", "caption.num_caption", "caption.num_captions"),
        ("captions.num_captions=4", "captions", "caption"),
        ("num_rollouts=4", "num_rollouts", "reason.num_rollouts"),
        ("reasn.behavior=image", "reasn.behavior", "reason.behavior"),
        ("train.mix.text.wieght=2", "train.mix.text.wieght", "train.mix.text.weight"),
        ("slurm.stages.reason.gpus=4", "gpus", "slurm.stages.reason.gpus_per_task"),
        ("caption.num_captions=0", "greater than or equal to 1", "sophia config"),
        ("propagate.alpha=1.5", "less than 1", "sophia config"),
        ("propagate.select=best", "shortest", "sophia config"),
        ("caption.num_captions", "no value", "section.key=value"),
        ("models.policy.path.deep=1", "models.policy.path", ""),
    ],
)
def test_wrong_settings_are_explained(assignment: str, what: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_config([], [assignment], {})
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_wrong_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        resolve_config([tmp_path / "none.toml"], [], {})
    broken = tmp_path / "broken.toml"
    broken.write_text("caption = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        resolve_config([broken], [], {})


def test_every_shipped_configuration_is_valid() -> None:
    files = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
    files.append(Path("world:demo.toml"))
    assert len(files) > 2
    for file in files:
        resolve_config([file], [], {})


def test_engine_settings_are_no_part_of_identity() -> None:
    def settings(*assignments: str) -> dict[str, object]:
        return stage_settings(resolve_config([], assignments, {}).config, "caption")

    assert settings("models.policy.batch_size=3") == settings()
    assert settings("models.policy.engine_args.x=3") == settings()
    assert settings("models.policy.base_url=http://elsewhere/v1") == settings()
    assert settings("reason.num_rollouts=3") == settings()
    assert settings("slurm.num_workers=3") == settings()
    assert settings("caption.num_captions=3") != settings()
    assert settings("run.seed=3") != settings()
    assert settings("models.policy.path=other") != settings()
    for value in ("dtype=float16", "revision=v2", "logprobs=true", "load_format=dummy"):
        assert settings(f"models.policy.engine_args.{value}") != settings()


def test_a_model_that_was_trained_anew_in_its_place_is_another(tmp_path: Path) -> None:
    def settings(plan: str, stage: str) -> dict[str, object]:
        manifest = {"metadata": {"digest": "d"}, "plan": plan}
        (tmp_path / "sophia.json").write_text(json.dumps(manifest))
        path = f"models.policy.path={tmp_path}"
        return stage_settings(resolve_config([], [path], {}).config, stage)

    for stage in ("caption", "train"):
        assert settings("one", stage) == settings("one", stage)
        assert settings("one", stage) != settings("other", stage)


def test_settings_that_pruning_borrows_are_part_of_identity_while_it_prunes() -> None:
    def settings(*assignments: str) -> dict[str, object]:
        return stage_settings(resolve_config([], assignments, {}).config, "reason")

    exact = "reason.prune=exact"
    assert settings("propagate.alpha=0.5") == settings()
    assert settings(exact)["propagate.alpha"] == 0.75
    for changed in ("propagate.alpha=0.5", "propagate.keep=2", "verify.timeout_seconds=9"):
        assert settings(exact, changed) != settings(exact)
    assert settings(exact, "verify.num_workers=3") == settings(exact)
    assert settings(exact, "train.batch_size=3") == settings(exact)
    config = resolve_config([], [exact], {}).config
    assert borrowed_settings(config, "reason")["verify.num_workers"] == 0
    assert borrowed_settings(config, "verify") == {}


def test_a_second_teacher_is_part_of_identity_where_there_is_one() -> None:
    def settings(*assignments: str) -> dict[str, object]:
        return stage_settings(resolve_config([], assignments, {}).config, "reason")

    hard = "models.hard_reasoner.path=hard"
    assert settings("reason.hard_below=0.5") == settings("verify.timeout_seconds=9") == settings()
    assert not any("hard" in key for key in settings())
    assert settings().items() < settings(hard).items()
    others = ("reason.hard_below=0.5", "verify.timeout_seconds=9", "models.hard_reasoner.path=b")
    for changed in others:
        assert settings(hard, changed) != settings(hard)
    assert settings(hard, "models.hard_reasoner.batch_size=3") == settings(hard)
    assert "hard_reasoner" not in resolve_config([], [], {}).config.models.by_role()


def test_a_model_that_judges_is_part_of_identity_while_it_is_asked() -> None:
    def settings(stage: str, *assignments: str) -> dict[str, object]:
        return stage_settings(resolve_config([], assignments, {}).config, stage)

    path = "models.verifier.path=judge"
    for stage, switch in (("verify", "verify.llm_judge=true"), ("eval", "eval.llm_judge=authors")):
        assert not any("llm" in name or "verifier" in name for name in settings(stage))
        assert settings(stage, path) == settings(stage)
        assert settings(stage, f"{stage}.llm_max_tokens=9") == settings(stage)
        assert settings(stage).items() < settings(stage, switch, path).items()
        others = (f"{stage}.llm_max_tokens=9", f"{stage}.llm_extractor=missing")
        for changed in (*others, "models.verifier.path=b", f"{stage}.llm_judge_prompt=judge"):
            assert settings(stage, switch, path, changed) != settings(stage, switch, path)
    seeking = ("verify.llm_extractor=missing", path)
    for unread in ("verify.llm_judge_prompt=judge", 'verify.llm_kinds=["text"]'):
        assert settings("verify", *seeking, unread) == settings("verify", *seeking)
    judging = ("verify.llm_judge=true", path)
    unread = "verify.llm_extractor_prompt=judge"
    assert settings("verify", *judging, unread) == settings("verify", *judging)
    assert settings("verify", *seeking, unread) != settings("verify", *seeking)
    exact = "reason.prune=exact"
    assert settings("reason", exact, path) == settings("reason", exact)
    assert settings("reason", exact, "verify.llm_judge=true") != settings("reason", exact)


def test_what_rollouts_were_pruned_for_does_not_grow() -> None:
    config = resolve_config([], ["reason.prune=exact"], {}).config
    assert config.reason.GROWING == ()
    assert "num_rollouts" in config.reason.model_copy(update={"prune": "off"}).GROWING


def test_engine_arguments_that_change_the_text_are_part_of_identity() -> None:
    def settings(stage: str, *assignments: str) -> dict[str, object]:
        return stage_settings(resolve_config([], assignments, {}).config, stage)

    length = "models.policy.engine_args.max_model_len=256"
    assert settings("caption", length) != settings("caption")
    top_k = "models.policy.engine_args.extra_body.top_k=20"
    assert settings("caption", top_k) != settings("caption")
    assert settings("caption", "models.policy.engine=vllm") != settings("caption")
    assert settings("train", "models.policy.engine=vllm") == settings("train")


def test_a_prompt_counts_with_its_text(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"

    def settings() -> dict[str, object]:
        assignment = f"caption.prompt={prompt}"
        return stage_settings(resolve_config([], [assignment], {}).config, "caption")

    prompt.write_text("Describe.")
    before = settings()
    prompt.write_text("Describe all.")
    assert settings() != before
