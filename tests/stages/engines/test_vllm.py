"""Real engines, which take a while to start: one for each class of tests, and one to kill."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from data.errors import ConfigError, EngineError, Stopped
from stages.engines import Completion, Engine, ModelConfig, Prefix, Request
from stages.engines.transformers import TransformersEngine
from tests.stages.engines.asking import END_TURN, Model, answers, ask, picture
from tests.stages.engines.contract import PolicyContract, ReasonerContract, ordered
from tests.tiny_models import CONTEXT_LENGTH

if TYPE_CHECKING:
    from stages.engines.vllm import VllmEngine


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
    assert engine.figures()["running"] > 0
    assert engine.figures()["waiting"] > 0
    for process in processes:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
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


KILLED = """
import os, signal, sys
import psutil
from tests.stages.engines.test_vllm import start
from pathlib import Path
if __name__ == "__main__":
    engine = start(Path(sys.argv[1]))
    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_worker_leaves_no_engine_behind(reasoner_path: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run(
        [sys.executable, str(script), str(reasoner_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    processes = [int(pid) for pid in done.stdout.split()]
    assert len(processes) >= 2
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in processes):
        assert time.monotonic() < deadline
        time.sleep(0.1)


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

    def test_a_prompt_that_was_seen_is_not_computed_again(self, engine: Engine) -> None:
        request, before = ask(0, "so " * 60, max_tokens=2), engine.figures()
        for _ in range(20):
            answers(engine, [request])
        name = "prefix_cache_hit_rate"
        assert engine.figures()[name] > before[name] + 0.01

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

    def test_a_stop_loses_no_token_and_what_follows_is_the_models_own(
        self, engine: Engine, model: Model
    ) -> None:
        requests = [ask(i, max_tokens=10_000) for i in range(200)]
        ended: dict[object, Completion] = {}
        unfinished: dict[object, Completion] = {}
        for answer in engine.generate(requests, lambda: len(ended) >= 30):
            if answer.finish_reason == "unfinished":
                assert answer.text is None
                unfinished[answer.id] = answer
            else:
                ended[answer.id] = answer
        assert len(unfinished) > 30, "as many as the engine runs at once, about"
        again = [
            replace(request, prefix=prefix_of(unfinished[request.id]))
            for request in requests
            if request.id in unfinished
        ]
        whole = answers(engine, again)
        for request in again:
            before, after = unfinished[request.id], whole[request.id]
            assert list(after.token_ids[: len(before.token_ids)]) == list(before.token_ids)
            assert after.finish_reason in ("stop", "length")
            assert after.text
            expected = model.logprob(request, after.token_ids)
            assert after.logprob == pytest.approx(expected, abs=1e-2)

    def test_a_prefix_counts_in_max_tokens(self, engine: Engine) -> None:
        request = ask(0, seed=5, temperature=0.0, max_tokens=60)
        whole = answers(engine, [request])[0]
        assert len(whole.token_ids) > 20
        begun = Prefix(token_ids=whole.token_ids[:20], logprob=0.0)
        assert answers(engine, [replace(request, prefix=begun)])[0].token_ids == whole.token_ids
        full = replace(whole, token_ids=list(whole.token_ids[:20]))
        shorter = replace(request, sampling=replace(request.sampling, max_tokens=20))
        again = answers(engine, [replace(shorter, prefix=prefix_of(full))])[0]
        assert (len(again.token_ids), again.finish_reason) == (20, "length")

    def test_requests_that_are_not_to_go_on_are_pruned(self, engine: Engine) -> None:
        asked: list[int] = []

        def keep_going(num_tokens: int) -> bool:
            asked.append(num_tokens)
            return num_tokens < 100

        requests = [replace(ask(i, max_tokens=220), keep_going=keep_going) for i in range(60)]
        answered = answers(engine, requests)
        reasons = {answer.finish_reason for answer in answered.values()}
        assert reasons == {"stop", "pruned"}
        for request in requests:
            answer = answered[request.id]
            if answer.finish_reason == "pruned":
                assert 100 <= len(answer.token_ids) < 220
                assert answer.text is None
                assert END_TURN not in answer.token_ids
            else:
                plain = replace(request, keep_going=None)
                assert answers(engine, [plain])[request.id].token_ids == answer.token_ids
        assert len(asked) > 60


def prefix_of(answer: Completion) -> Prefix:
    return Prefix(token_ids=answer.token_ids, logprob=answer.logprob or 0.0)


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

    def test_a_picture_whose_first_request_was_refused(self, engine: "VllmEngine") -> None:
        """Its pixels made the prompt too long, so that the engine has not seen it."""
        purple = picture("purple")
        long = next(
            request
            for request in (ask(0, "word " * n, images=[purple]) for n in range(CONTEXT_LENGTH))
            if len(engine.renderer.prompt(request).token_ids) > CONTEXT_LENGTH - 8
        )
        refused, answer = ordered(engine, [long, ask(1, images=[purple])])
        assert refused.error is not None
        assert refused.error.startswith("prompt_too_long: ")
        assert answer.error is None


def test_a_stop_while_the_model_is_loaded(reasoner_path: Path) -> None:
    from stages.engines.vllm import VllmEngine

    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)}

    resource_tracker.ensure_running()  # else it would be taken for one of vLLM's processes
    others = children()
    began = False

    def has_begun() -> bool:
        nonlocal began
        began = began or bool(children() - others)
        return began

    with pytest.raises(Stopped):
        VllmEngine(ModelConfig(path=str(reasoner_path), engine="vllm"), has_begun)
    assert began
    assert not children() - others


def test_an_unknown_engine_argument(reasoner_path: Path) -> None:
    from stages.engines.vllm import VllmEngine

    config = ModelConfig(path=str(reasoner_path), engine="vllm", engine_args={"batch_sise": 3})
    with pytest.raises(ConfigError, match="batch_sise"):
        VllmEngine(config)
