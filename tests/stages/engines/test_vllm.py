"""Real engines, which take a while to start: one for each class of tests, and one to kill."""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data.errors import ConfigError, EngineError
from stages.engines import Engine, ModelConfig, Request
from stages.engines.transformers import TransformersEngine
from tests.stages.engines.asking import answers, ask, picture
from tests.stages.engines.contract import PolicyContract, ReasonerContract

pytest.importorskip("vllm")


def start(path: Path) -> Engine:
    from stages.engines.vllm import VllmEngine

    engine_args = {"max_num_seqs": 64, "kv_cache_memory_bytes": 64 << 20}
    return VllmEngine(ModelConfig(path=str(path), engine="vllm", engine_args=engine_args))


def same_as_transformers(engine: Engine, path: Path, requests: list[Request]) -> None:
    """Where nothing is random, engines agree to the token."""
    other = TransformersEngine(ModelConfig(path=str(path)))
    expected, found = answers(other, requests), answers(engine, requests)
    for request in requests:
        mine, theirs = found[request.id], expected[request.id]
        assert list(mine.token_ids) == list(theirs.token_ids)
        assert (mine.text, mine.finish_reason) == (theirs.text, theirs.finish_reason)
        assert (mine.prefill, mine.error) == (theirs.prefill, theirs.error)


def test_processes_outlive_our_signals_but_not_their_end(
    reasoner_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """First in this file: the first engine of a process is the one that signals could reach."""
    others = {child.pid for child in psutil.Process().children(recursive=True)}
    engine = start(reasoner_path)
    processes = [
        child for child in psutil.Process().children(recursive=True) if child.pid not in others
    ]
    requests = [ask(i, max_tokens=150) for i in range(300)]
    assert os.environ.get("TORCH_COMPILE_DISABLE") is None

    completions = engine.generate(requests, lambda: False)
    next(completions)
    for process in processes:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            process.send_signal(number)
    assert len(list(completions)) == len(requests) - 1
    assert all(process.is_running() for process in processes)

    stopping = False
    completions = engine.generate(requests, lambda: stopping)
    next(completions)
    engine_processes = [p for p in processes if "resource_tracker" not in " ".join(p.cmdline())]
    for process in engine_processes:
        process.kill()
    with pytest.raises(EngineError, match="vLLM failed"):
        list(completions)
    stopping = True
    assert list(engine.generate(requests, lambda: stopping)) == []
    engine.close()
    assert not any(process.is_running() for process in engine_processes)
    assert capfd.readouterr().out == ""


class TestReasoner(ReasonerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, reasoner_path: Path) -> Iterator[Engine]:
        engine = start(reasoner_path)
        yield engine
        engine.close()

    def test_greedy_tokens_are_those_of_transformers(
        self, engine: Engine, reasoner_path: Path
    ) -> None:
        requests = [ask(i, "so " * i, temperature=0.0, max_tokens=30) for i in range(10)]
        same_as_transformers(engine, reasoner_path, requests)

    def test_requests_are_read_as_there_is_room(self, engine: Engine) -> None:
        read = itertools.count()
        completions = engine.generate((ask(i) for i in read), lambda: False)
        for _ in range(10):
            next(completions)
        completions.close()
        assert next(read) < 200

    def test_short_completions_dont_wait_for_long_ones(self, engine: Engine) -> None:
        long, short = ask(0, seed=3, max_tokens=200), [ask(i, max_tokens=1) for i in range(1, 9)]
        order = [answer.id for answer in engine.generate([long, *short], lambda: False)]
        assert order[-1] == 0


class TestPolicy(PolicyContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, policy_path: Path) -> Iterator[Engine]:
        engine = start(policy_path)
        yield engine
        engine.close()

    def test_greedy_tokens_are_those_of_transformers(
        self, engine: Engine, policy_path: Path
    ) -> None:
        images = [picture(colour) for colour in ("red", "green", "blue")]
        requests = [
            ask(i, "so " * i, images=images[: i % 4], temperature=0.0, max_tokens=30)
            for i in range(8)
        ]
        same_as_transformers(engine, policy_path, requests)


def test_an_unknown_engine_argument(reasoner_path: Path) -> None:
    from stages.engines.vllm import VllmEngine

    config = ModelConfig(path=str(reasoner_path), engine="vllm", engine_args={"batch_sise": 3})
    with pytest.raises(ConfigError, match="batch_sise"):
        VllmEngine(config)
