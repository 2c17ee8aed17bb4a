"""The endpoint engine against vLLM's real server, one for each model."""

import itertools
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data import tables
from data.errors import EngineError
from data.records import Rollout
from data.world import resolve
from stages.engines import Completion, Engine, ModelConfig, Prefix, Request, load_engine
from stages.engines.transformers import TransformersEngine
from tests.command import SOPHIA, result_of, sophia, work
from tests.stages.engines.asking import END_TURN, Model, answers, ask
from tests.stages.engines.contract import BLUE, RED, PolicyContract, ReasonerContract, ordered
from tests.stages.engines.serving import Served, serve

ALL_THERE_IS = {
    "logprobs": True,
    "extra_body": {"skip_special_tokens": False},
}
"""With these a server of vLLM tells all that the other engines do."""


def start(served: Served, name: str, **engine_args: Any) -> Engine:
    return load_engine(
        name,
        ModelConfig(
            path=name, engine="endpoint", base_url=served.base_url, engine_args=engine_args
        ),
    )


def characters(text: str | None) -> str:
    assert text is not None
    return text.replace("\ufffd", "")


def stop_after(
    engine: Engine, requests: list[Request], number: int
) -> tuple[dict[Any, Completion], dict[Any, Completion]]:
    """What has ended, and what is unfinished, on a stop after so many have ended."""
    ended: dict[Any, Completion] = {}
    unfinished: dict[Any, Completion] = {}
    for answer in engine.generate(requests, lambda: len(ended) >= number):
        (unfinished if answer.finish_reason == "unfinished" else ended)[answer.id] = answer
    return ended, unfinished


def assert_continued(
    engine: Engine, model: Model, requests: list[Request], unfinished: dict[Any, Completion]
) -> None:
    """What was begun is gone on with, by the model that was asked."""
    again = [
        replace(request, prefix=Prefix(token_ids=begun.token_ids, logprob=begun.logprob or 0.0))
        for request in requests
        if (begun := unfinished.get(request.id))
    ]
    whole = answers(engine, again)
    for request in again:
        before, after = unfinished[request.id], whole[request.id]
        assert before.text is None
        assert list(after.token_ids[: len(before.token_ids)]) == list(before.token_ids)
        assert after.finish_reason in ("stop", "length")
        body = [i for i in after.token_ids if i != END_TURN]
        assert characters(after.text) == characters(model.processor.decode(body))
        assert after.logprob == pytest.approx(model.logprob(request, after.token_ids), abs=1e-2)
    assert len({answer.prefill for answer in whole.values()}) == 1


class TestReasoner(ReasonerContract):
    num_draws = 500  # a request each

    @pytest.fixture(scope="class")
    @classmethod
    def served(
        cls, reasoner_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Served]:
        log = tmp_path_factory.mktemp("served") / "log"
        with serve(reasoner_path, "reasoner", log) as served:
            yield served

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, served: Served) -> Iterator[Engine]:
        engine = start(served, "reasoner", **ALL_THERE_IS)
        yield engine
        engine.close()

    @pytest.fixture
    def plain(self, served: Served) -> Iterator[Engine]:
        """As any server would be asked."""
        engine = start(served, "reasoner", return_token_ids=False)
        yield engine
        engine.close()

    def test_text_is_what_the_model_wrote_without_the_end(
        self, engine: Engine, model: Model
    ) -> None:
        """But for bytes that are no characters, which the server decodes in its own way."""
        for answer in ordered(engine, [ask(i, max_tokens=150) for i in range(20)]):
            ids = [i for i in answer.token_ids if i != END_TURN]
            decoded = model.processor.decode(ids, skip_special_tokens=False)
            assert characters(answer.text) == characters(decoded)

    def test_greedy_tokens_are_those_of_transformers(
        self, engine: Engine, reasoner_path: Path
    ) -> None:
        requests = [ask(i, "so " * i, temperature=0.0, max_tokens=30) for i in range(10)]
        other = TransformersEngine(ModelConfig(path=str(reasoner_path)))
        for mine, theirs in zip(ordered(engine, requests), ordered(other, requests), strict=True):
            assert list(mine.token_ids) == list(theirs.token_ids)
            assert characters(mine.text) == characters(theirs.text)
            assert mine.finish_reason == theirs.finish_reason

    def test_only_the_number_of_tokens_is_known(self, engine: Engine, plain: Engine) -> None:
        requests = [ask(i) for i in range(8)]
        for known, number in zip(ordered(engine, requests), ordered(plain, requests), strict=True):
            assert number.num_tokens == number.length == known.length == len(known.token_ids) > 0
            assert (number.known_token_ids, number.logprob) == (None, None)
            assert known.known_token_ids == known.token_ids
            assert known.num_tokens is None

    def test_requests_are_read_as_there_is_room(self, served: Served) -> None:
        engine = start(served, "reasoner", max_concurrency=8)
        read = itertools.count()
        completions = engine.generate((ask(i) for i in read), lambda: False)
        for _ in range(10):
            next(completions)
        assert next(read) <= 10 + 8
        completions.close()
        engine.close()

    def test_a_stop_frees_the_server(self, served: Served, engine: Engine) -> None:
        requests = [ask(i, max_tokens=200) for i in range(500)]
        stopping = False
        completions = engine.generate(requests, lambda: stopping)
        next(completions)
        stopping = True
        began = time.monotonic()
        assert len(list(completions)) < len(requests) / 2  # what was done meanwhile
        assert time.monotonic() - began < 5
        while served.metric("num_requests_running") + served.metric("num_requests_waiting"):
            assert time.monotonic() - began < 10
            time.sleep(0.1)

    def test_a_stop_loses_no_token_and_what_follows_is_the_models_own(
        self, served: Served, engine: Engine, model: Model
    ) -> None:
        """But for a few steps, before the server hears of it; it would lose 64 times 100 or so.

        What is nearly done, as all of it may be where the server is fast, ends by itself.
        """
        requests = [ask(i, max_tokens=220) for i in range(200)]
        before = served.metric("generation_tokens_total")
        ended, unfinished = stop_after(engine, requests, 20)
        there = sum(answer.length for answer in [*ended.values(), *unfinished.values()])
        assert len(ended) + len(unfinished) > 50, "and as many as run at once, about"
        lost = served.all_tokens() - before - there
        assert 0 <= lost < 16 * 64
        assert_continued(engine, model, requests, unfinished)

    def test_what_can_t_go_on_begins_anew(self, served: Served, plain: Engine) -> None:
        requests = [ask(i, max_tokens=220) for i in range(200)]
        assert stop_after(plain, requests, 20)[1] == {}
        begun = Prefix(token_ids=[3] * 20, logprob=0.0)
        request = ask(0, max_tokens=10)
        (whole,) = answers(plain, [request]).values()
        assert answers(plain, [replace(request, prefix=begun)])[0] == whole
        engine = start(served, "reasoner")
        again = answers(engine, [replace(request, prefix=begun)])[0]  # there is no room behind it
        assert again.text == whole.text
        engine.close()

    @pytest.mark.parametrize("told", [True, False])
    def test_a_request_is_given_up(self, engine: Engine, plain: Engine, told: bool) -> None:
        whole = ask(3, max_tokens=200)
        asked: list[int] = []

        def keep_going(num_tokens: int) -> bool:
            asked.append(num_tokens)
            return num_tokens < 20

        (pruned,) = answers(
            engine if told else plain, [replace(whole, keep_going=keep_going)]
        ).values()
        assert (pruned.finish_reason, pruned.text, pruned.error) == ("pruned", None, None)
        assert pruned.length >= 20
        assert asked == sorted(asked)
        if told:
            finished = answers(engine, [whole])[3]
            assert list(pruned.token_ids) == list(finished.token_ids)[: pruned.length]

    def test_a_stream_says_the_same(self, engine: Engine) -> None:
        requests = [ask(i, max_tokens=60) for i in range(10)]
        streamed = [replace(request, keep_going=lambda _: True) for request in requests]
        for whole, chunks in zip(ordered(engine, requests), ordered(engine, streamed), strict=True):
            assert whole.logprob == pytest.approx(chunks.logprob)
            assert replace(whole, logprob=None) == replace(chunks, logprob=None)

    def test_a_model_that_the_server_does_not_have(self, served: Served) -> None:
        engine = start(served, "another")
        with pytest.raises(EngineError, match=r"has no another: .*does not exist") as caught:
            answers(engine, [ask(0)])
        assert "base_url" in caught.value.remedy
        engine.close()

    def test_a_server_that_dies(self, served: Served) -> None:
        """Last in this class."""
        engine = start(served, "reasoner", max_retries=1)
        completions = engine.generate([ask(i, max_tokens=200) for i in range(300)], lambda: False)
        next(completions)
        served.kill()
        with pytest.raises(EngineError, match=r"can't be reached|failed"):
            list(completions)
        engine.close()
        with pytest.raises(EngineError, match="can't be reached"):
            start(served, "reasoner", max_retries=0)


class TestPolicy(PolicyContract):
    @pytest.fixture(scope="class")
    @classmethod
    def served(
        cls, policy_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Served]:
        log = tmp_path_factory.mktemp("served") / "log"
        with serve(policy_path, "policy", log) as served:
            yield served

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, served: Served) -> Iterator[Engine]:
        engine = start(served, "policy", **ALL_THERE_IS)
        yield engine
        engine.close()

    def test_what_the_template_rejects_is_an_error_row(self, engine: Engine) -> None:
        fine = ask(0)
        amiss = replace(fine, id=1, messages=[{"role": "tool", "content": ""}])
        answered = answers(engine, [fine, amiss])
        assert answered[0].error is None
        assert answered[1].error is not None
        assert answered[1].error.startswith("request: ")

    def test_images_stand_where_they_are_mentioned(self, engine: Engine, model: Model) -> None:
        image, text = {"type": "image"}, {"type": "text", "text": "and"}
        request = ask(0, images=[RED, BLUE])
        between = replace(
            request, messages=[{"role": "user", "content": [image, text, image, text]}]
        )
        (answer,) = answers(engine, [between]).values()
        assert answer.logprob == pytest.approx(model.logprob(between, answer.token_ids), abs=1e-3)

    def test_a_stop_loses_no_token_and_what_follows_is_the_models_own(
        self, served: Served, model: Model
    ) -> None:
        letters = model.processor.tokenizer.convert_tokens_to_ids(list("abcdefgh"))
        body = {"allowed_token_ids": letters}  # what text can say again
        engine = start(served, "policy", logprobs=True, extra_body=body)
        requests = [
            ask(i, images=[(RED, BLUE)[i % 2]], max_tokens=200 if i % 4 else 20) for i in range(100)
        ]
        _, unfinished = stop_after(engine, requests, 10)
        assert len(unfinished) > 20
        assert_continued(engine, model, requests, unfinished)
        engine.close()


def test_a_reasoner_behind_a_server_and_a_stop(tmp_path: Path) -> None:
    """One that splits off the thinking; what is under way at the stop is gone on with."""
    run, key = tmp_path / "run", "sk-a-key-that-must-not-be-found"
    settings = ["--run", str(run), "--config", "world:demo.toml"]
    settings += ["--set", "caption.num_captions=2", "--set", "reason.num_rollouts=16"]
    settings += ["--set", "run.commit_seconds=0.2"]
    settings += ["--set", "models.reasoner.engine_args.max_concurrency=24"]
    result_of("ingest", "world:train", "--run", run, "--limit", "8", "--num-shards", "1")
    work("caption", run, ["caption.num_captions=2"], "world:demo.toml")
    settings += ["--set", "models.reasoner.engine=endpoint", "--set", "models.reasoner.path=mind"]
    path, log = Path(resolve("world:reasoner")), tmp_path / "served.log"
    with serve(path, "mind", log, "--reasoning-parser", "deepseek_r1") as served:
        settings += ["--set", f"models.reasoner.base_url={served.base_url}"]
        stopped = stop_midway(run, settings)
        assert stopped.returncode == 75, stopped.stderr
        before = rollouts_in(run, ".parts/*/*.parquet")
        there = sum(len(row["token_ids"]) for row in before)
        assert served.all_tokens() - there < 16 * 24, "a piece of each that ran, at most"
        done = sophia("reason", *settings, OPENAI_API_KEY=key, OPENAI_LOG="debug")
    assert done.returncode == 0, done.stderr
    rollouts = {row_key(row): row for row in rollouts_in(run, "*.parquet")}
    assert len(rollouts) == 8 * 2 * 16
    for row in rollouts.values():
        assert (row["error"], row["logprob"]) == (None, None)
        whole = (row["prefill"] or "") + row["text"]
        assert whole.startswith("<think>\n"), "what the server split off is back"
        assert row["num_tokens"] == len(row["token_ids"]) > 5
    assert any("\n</think>\n\n" in row["text"] for row in rollouts.values())
    assert len(before) > 20, "some that had ended, and as many as run at once"
    for row in before:
        whole = rollouts[row_key(row)]["token_ids"]
        assert whole[: len(row["token_ids"])] == row["token_ids"]
    assert key not in done.stdout + done.stderr
    files = [path for path in run.rglob("*") if path.is_file()]
    assert any("openai" in path.read_text() for path in (run / "logs").iterdir())
    assert not any(key.encode() in path.read_bytes() for path in files)


def stop_midway(run: Path, settings: list[str]) -> subprocess.CompletedProcess[str]:
    """`sophia reason`, told to stop when its rows have begun to end one after the other."""
    command = [SOPHIA, "reason", *settings]
    pipe = subprocess.PIPE
    worker = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    deadline = time.monotonic() + 120
    while len(list(run.glob("rollouts/.parts/*/*.parquet"))) < 4:
        assert time.monotonic() < deadline and worker.poll() is None, worker.communicate()
        time.sleep(0.02)
    worker.terminate()
    output, errors = worker.communicate(timeout=60)
    return subprocess.CompletedProcess(command, worker.returncode, output, errors)


def rollouts_in(run: Path, pattern: str) -> list[dict[str, Any]]:
    paths = (run / "rollouts").glob(pattern)
    return [row for path in paths for row in tables.read_rows(path, Rollout)]


def row_key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["sample_id"], row["caption_index"], row["rollout_index"]
