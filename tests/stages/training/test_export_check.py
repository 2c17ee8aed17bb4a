"""An export gets its name only if it is, loaded anew, the policy that was trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForImageTextToText

from data import tables
from data.errors import EngineError
from stages.training import export_check
from stages.training.export import export, trained_weights
from stages.training.export_check import NUM_TOKENS, Portrait, check_words, load_again, portray
from stages.training.manifest import Manifest
from stages.training.plan import Plan
from stages.training.policy import Policy
from tests import tiny_families
from tests.stages.training.runs import make_config, make_rows, write_run
from tests.stages.training.test_gradients import make_task
from tests.stages.training.watched import StopAtPoll

MANIFEST = Manifest(
    metadata=tables.Metadata(stage="train", digest="x"),
    plan="x",
    planned={},
    step=1,
    num_steps=1,
    zero_stage=0,
    num_ranks=1,
    seconds=1.0,
)


def load(folder: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder, dtype="auto")


def other_weights(folder: Path) -> dict[str, Tensor]:
    weights = {name: each * 1.5 for name, each in load(folder).named_parameters() if "mlp" in name}
    return {name: each for name, each in weights.items() if "language_model" in name}


def plan_for(base: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    write_run(run_dir, make_rows(4))
    return Plan.open(make_task(run_dir, base, make_config(run_dir), monkeypatch) / "plan")


def check_export(folder: Path, expected: Portrait, plan: Plan) -> None:
    check_words(load_again(folder, expected), folder, expected, plan)


def edit_config(folder: Path, section: str, name: str, value: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config[section][name] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("family", tiny_families.SAVERS)
def test_weights_and_words_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    base = tmp_path / "base"
    tiny_families.save(family, base)
    plan = plan_for(base, tmp_path / "run", monkeypatch)
    trained = portray(load(base), base, plan)
    assert trained.tokens is not None and len(trained.tokens) == NUM_TOKENS
    check_export(base, trained, plan)

    def refuse(expected: Portrait, words: str) -> None:
        with pytest.raises(EngineError, match=words):
            check_export(base, expected, plan)

    others = [token + 1 for token in trained.tokens]
    different = replace(trained, tokens=others)
    refuse(different, r"the greedy completion \[\d+, .* in place of \[\d+")
    with monkeypatch.context() as patch:
        patch.setattr(export_check, "LARGEST_ON_CPU", 0)  # as where memory was taken meanwhile
        refuse(different, "the greedy completion")
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if "norm" in name)
    save_file(
        {**weights, name: weights[name] * 1.001}, base / "model.safetensors", {"format": "pt"}
    )
    refuse(trained, r"1 differing tensors, such as .*norm")
    monkeypatch.setattr(export_check, "LARGEST_ON_CPU", 0)
    too_large = portray(load(base), base, plan)
    assert too_large.tokens is None, "where the words can't be compared the weights still are"
    refuse(trained, r"1 differing tensors, such as .*norm")
    check_export(base, too_large, plan)
    del weights[name]
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    refuse(too_large, rf"missing_keys: \['.*{name.rpartition('.')[2]}'\]")


def test_a_trained_weight_that_is_not_given_back_is_missed(policy: Path) -> None:
    language = Policy(policy, torch.float32, torch.device("cpu")).language
    state = language.state_dict()
    given = trained_weights(language, {**state, "no_weight": torch.zeros(1)})
    named = load(policy).named_parameters(remove_duplicate=False)
    assert given.keys() == {name for name, _ in named if "language_model" in name or "head" in name}
    for name in state:
        part = {other: state[other] for other in state if other != name}
        with pytest.raises(EngineError, match=rf"gave 1 of {len(state)} .* such as {name}"):
            trained_weights(language, part)


def test_a_torn_export_gets_no_name(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(policy, tmp_path / "run", monkeypatch)
    weights = other_weights(policy)
    target = tmp_path / "final"
    copyfile = shutil.copyfile

    def copy_badly(source: Path, copy: Path) -> None:
        copyfile(source, copy)
        if copy.name == "config.json":
            edit_config(copy.parent, "text_config", "rms_norm_eps", 0.5)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", copy_badly)
        with pytest.raises(EngineError, match="greedy completion"):
            export(policy, weights, target, MANIFEST, plan)
    assert not target.exists()
    export(policy, weights, target, MANIFEST, plan)
    written = Manifest.load(target)
    assert written is not None and len(written.exported["greedy_tokens"]) == NUM_TOKENS
    assert written.exported["asked_on"] == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_stop_is_heard_between_all_phases(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, weights = plan_for(policy, tmp_path / "run", monkeypatch), other_weights(policy)
    target, polls = tmp_path / "final", 0
    while not export(policy, weights, target, MANIFEST, plan, should_stop=StopAtPoll(polls).is_set):
        assert not target.exists()
        polls += 1
    assert polls >= 5
    assert Manifest.load(target) is not None
