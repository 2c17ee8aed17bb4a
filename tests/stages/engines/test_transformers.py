import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import EngineError, InputError
from stages.engines import Engine, ModelConfig, Request, load_engine
from stages.engines.sampling import ASK_EVERY
from stages.engines.transformers import TransformersEngine
from tests.stages.engines.asking import answers, ask, picture
from tests.stages.engines.contract import PolicyContract, ReasonerContract


def start(path: Path, batch_size: int = 16) -> Engine:
    return TransformersEngine(ModelConfig(path=str(path), batch_size=batch_size))


class TestReasoner(ReasonerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, reasoner_path: Path) -> Iterator[Engine]:
        engine = start(reasoner_path, batch_size=64)
        yield engine
        engine.close()

    def test_a_group_says_the_same_in_any_surroundings(self, engine: Engine) -> None:
        group = [ask(i, "why " * i, group="g", max_tokens=60) for i in range(8)]
        others = [ask(100 + i, "other " * i, group="other") for i in range(5)]
        alone = answers(engine, group)
        among_others = answers(engine, [*others, *group, ask(200, group="third")])
        assert {i: among_others[i] for i in alone} == alone

    def test_a_group_larger_than_a_batch_is_answered(self, engine: Engine) -> None:
        answers(engine, [ask(i, group=0) for i in range(130)])

    def test_a_row_given_up_leaves_the_others_as_they_are(self, engine: Engine) -> None:
        requests = [ask(i, "why " * i, group=0, max_tokens=200) for i in range(8)]
        complete = answers(engine, requests)
        asked: list[int] = []

        def keep_going(num_tokens: int) -> bool:
            asked.append(num_tokens)
            return num_tokens < 30

        watched = [replace(requests[i], keep_going=keep_going if i % 2 else None) for i in range(8)]
        for i, answer in answers(engine, watched).items():
            if answer.finish_reason != "pruned":
                assert answer == complete[i]
                continue
            assert i % 2 and answer.text is None and answer.error is None
            assert 30 <= len(answer.token_ids) < 30 + ASK_EVERY
            assert list(answer.token_ids) == list(complete[i].token_ids)[: len(answer.token_ids)]
        assert max(asked) >= 30, "some were"
        assert min(asked) == 1, "a row that is not wanted at all ends at once"

    def test_no_group_is_read_ahead(self, engine: Engine) -> None:
        read: list[int] = []

        def requests() -> Iterator[Request]:
            for i in range(12):
                read.append(i)
                yield ask(i, group=i // 3)

        next(iter(engine.generate(requests(), lambda: False)))
        assert read == [0, 1, 2, 3], "the end of a group shows only in what follows"

    def test_a_stop_is_noticed_at_every_token(self, engine: Engine) -> None:
        asked = []

        def should_stop() -> bool:
            asked.append(True)
            return len(asked) > 10

        assert list(engine.generate([ask(0, max_tokens=200)], should_stop)) == []
        assert len(asked) < 15


class TestPolicy(PolicyContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, policy_path: Path) -> Iterator[Engine]:
        engine = start(policy_path)
        yield engine
        engine.close()


SCRIPT = """
import json, sys
from pathlib import Path
from stages.engines import ModelConfig, load_engine
from tests.stages.engines.asking import ask, picture
engine = load_engine("policy", ModelConfig(path=sys.argv[1]))
requests = [ask(i, "so " * i, images=[picture("red")], group=0) for i in range(16)]
completions = engine.generate(requests, lambda: False)
print(json.dumps([[c.id, c.text, list(c.token_ids), c.logprob] for c in completions]))
"""


@pytest.mark.parametrize("num_threads", ["1", "2"])
def test_a_new_process_says_the_same_and_prints_nothing_else(
    policy_path: Path, num_threads: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(policy_path)],
        env=os.environ | {"OMP_NUM_THREADS": num_threads},
        capture_output=True,
        check=True,
        text=True,
    )
    engine = start(policy_path)
    answers(engine, [ask(i) for i in range(3)])
    requests = [ask(i, "so " * i, images=[picture("red")], group=0) for i in range(16)]
    completions = list(engine.generate(requests, lambda: False))
    assert json.loads(ran.stdout) == [
        [c.id, c.text, list(c.token_ids), c.logprob] for c in completions
    ]


def test_recommended_sampling_of_the_checkpoint_is_ignored(
    reasoner_path: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "model"
    shutil.copytree(reasoner_path, changed)
    recommended = {"do_sample": True, "top_k": 1, "repetition_penalty": 2.0, "eos_token_id": [2]}
    (changed / "generation_config.json").write_text(json.dumps(recommended))
    requests = [ask(i, group=0) for i in range(4)]
    assert answers(start(changed), requests) == answers(start(reasoner_path), requests)


def test_every_end_token_of_the_generation_config_stops(
    reasoner_path: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "model"
    shutil.copytree(reasoner_path, changed)
    ends = list(range(2, 100))
    (changed / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    for answer in answers(start(changed), [ask(i) for i in range(4)]).values():
        assert answer.finish_reason == "stop"
        assert answer.token_ids[-1] in ends
        assert not set(answer.token_ids[:-1]) & set(ends)


def load(path: object) -> Engine:
    return load_engine("policy", ModelConfig(path=str(path)))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model folder"):
        load(tmp_path / "nothing")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        load(tmp_path)


def test_a_hub_id_that_cant_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="hub can be reached"):
        load("nobody/no-model")


def test_a_model_with_code_of_its_own(tmp_path: Path) -> None:
    config = {
        "model_type": "internvl_chat",
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"trust_remote_code.*-hf"):
        load(tmp_path)


def test_a_model_that_doesnt_write(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(InputError, match="clip model, which doesn't write text"):
        load(tmp_path)


def test_a_model_without_a_chat_template(reasoner_path: Path, tmp_path: Path) -> None:
    shutil.copytree(reasoner_path, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        load(tmp_path)


@pytest.mark.parametrize("keep", [0, 1000])
def test_weights_that_are_not_whole(reasoner_path: Path, tmp_path: Path, keep: int) -> None:
    shutil.copytree(reasoner_path, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(InputError, match="can't be loaded"):
        load(tmp_path)


def test_weights_that_are_missing(reasoner_path: Path, tmp_path: Path) -> None:
    shutil.copytree(reasoner_path, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["num_hidden_layers"] += 1
    config["layer_types"].append(config["layer_types"][0])
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="lacks weights"):
        load(tmp_path)


def test_a_failing_model_is_an_engine_error(reasoner_path: Path) -> None:
    engine = start(reasoner_path)
    engine.model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(EngineError, match="not numbers"):
        list(engine.generate([ask(0)], lambda: False))
