"""The endpoint engine and a server that misbehaves, or is not vLLM's."""

import base64
import io
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from openai import _base_client
from PIL import Image

from data.errors import ConfigError, EngineError, SophiaError
from data.images import open_image
from stages.engines import Completion, Engine, ModelConfig, Request, load_engine
from tests.stages.engines.asking import answers, ask, picture
from tests.stages.engines.serving import Reply, Script, chat, scripted

KEY = "sk-a-key-that-must-not-be-found"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client library's, between two attempts of which the server doesn't say when."""
    monkeypatch.setattr(_base_client, "INITIAL_RETRY_DELAY", 0.02)


def start(script: Script, **engine_args: Any) -> Engine:
    config = ModelConfig(
        path="m",
        engine="endpoint",
        base_url=script.base_url,
        engine_args={"max_retries": 2} | engine_args,
    )
    return load_engine("reasoner", config)


def answered(
    answer: Callable[[dict[str, Any]], Reply],
    *requests: Request,
    **engine_args: Any,
) -> tuple[list[Completion], Script]:
    """What becomes of requests, one question if none are given."""
    asked = requests or (ask(0),)
    with scripted(answer) as script:
        engine = start(script, **engine_args)
        try:
            found = answers(engine, asked)
        finally:
            engine.close()
    return [found[request.id] for request in asked], script


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    return status, {"error": {"message": message, "type": "e"} | more}, headers or {}


def first(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    """One reply after the other, the last for good."""
    return lambda body: replies[min(body["number"], len(replies) - 1)]


def test_too_many_requests_are_sent_again_when_the_server_says() -> None:
    busy = error(429, "Slow down.", {"Retry-After": "1.5"})
    (completion,), script = answered(first(busy, (200, chat("4"))))
    assert completion.text == "4"
    assert script.times[1] - script.times[0] >= 1.5


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_a_server_in_trouble_is_asked_again(status: int) -> None:
    trouble = error(status, "One moment.")
    (completion,), script = answered(first(trouble, trouble, (200, chat("4"))))
    assert completion == Completion(id=0, text="4", num_tokens=3, finish_reason="stop")
    assert len(script.asked) == 3


@pytest.mark.parametrize(
    ("reply", "kind", "what"),
    [
        (error(401, f"Wrong key {KEY}."), EngineError, "refuses the key in OPENAI_API_KEY"),
        (error(403, f"Not for {KEY}."), EngineError, "refuses the key"),
        (error(404, "No such model."), EngineError, "has no m: No such model."),
        (error(429, "Quota used up."), EngineError, "takes no more requests: Quota used up."),
        (error(500, "Out of memory."), EngineError, "failed: Out of memory."),
        ((502, "<html>\nBad gateway"), EngineError, "failed: status 502 <html>"),
        (error(400, "Only 1.", param="temperature"), ConfigError, "rejects temperature: Only 1."),
        (error(402, f"Pay for {KEY}."), EngineError, "failed: Pay for"),
        ((200, "<html>Hello", {"Content-Type": "text/html"}), EngineError, "no chat completion"),
        ((200, {"error": {"message": "Busy."}}), EngineError, "no chat completion"),
        ((200, "{broken"), EngineError, "no chat completion"),
        ((200, chat("4") | {"usage": None}), EngineError, "how many tokens"),
    ],
)
def test_a_server_that_is_no_use(
    reply: Reply, kind: type[SophiaError], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(kind) as caught:
        answered(first(reply), max_retries=1)
    assert what in caught.value.what
    assert KEY not in str(caught.value)


def test_a_key_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        answered(first(error(401, "Who are you?")), api_key_env="MY_KEY")


def test_a_key_goes_to_the_server_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    replies = first(error(503, KEY), error(400, f"No, {KEY}."))
    (completion,), script = answered(replies, api_key_env="MY_KEY")
    assert {body["authorization"] for body in script.asked} == {f"Bearer {KEY}"}
    assert completion.error == "request: No, ***."
    assert "openai" in {record.name.partition(".")[0] for record in caplog.records}
    assert KEY not in caplog.text
    assert not any(KEY in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(400, "Rejected by policy."), "request: Rejected by policy."),
        (error(400, "Too much.", code="context_length_exceeded"), "prompt_too_long: Too much."),
        (error(400, "maximum context length is 8"), "prompt_too_long: maximum context length is 8"),
        (error(413, "Too large."), "request: Too large."),
        (error(422, "No."), "request: No."),
        (
            (200, chat(None, finish_reason="content_filter")),
            "request: The server ended the answer: content_filter.",
        ),
    ],
)
def test_errors_of_one_row(reply: Reply, expected: str) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        return reply if "odd" in body["messages"][0]["content"] else (200, chat("4"))

    completions, script = answered(answer, ask(0), ask(1, "odd"), ask(2))
    assert [done.error for done in completions] == [None, expected, None]
    assert completions[1].finish_reason == "error"
    assert len(script.asked) == 3


def test_a_server_that_stumbles_over_one_row() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        odd = "odd" in body["messages"][0]["content"]
        return error(500, "list index out of range") if odd else (200, chat("4"))

    completions, _ = answered(answer, ask(0), ask(1, "odd"), ask(2))
    assert [done.error for done in completions] == [None, "server: list index out of range", None]


def test_no_answer_in_time() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        time.sleep(1.0)
        return 200, chat("4")

    with pytest.raises(EngineError, match=r"no answer within 0\.2 seconds"):
        answered(answer, timeout_seconds=0.2, max_retries=1)


@pytest.mark.parametrize(
    ("message", "text", "prefill"),
    [
        ({"content": "4"}, "4", None),
        ({"content": "2+2\n</think>\n\n4"}, "2+2\n</think>\n\n4", "<think>\n"),
        ({"content": "<think>2+2</think>4"}, "<think>2+2</think>4", None),
        ({"content": "\n\n4", "reasoning": "2+2\n"}, "<think>\n2+2\n</think>\n\n4", None),
        ({"content": "4", "reasoning_content": "2+2"}, "<think>\n2+2\n</think>\n\n4", None),
        ({"content": None, "reasoning": "2+"}, "<think>\n2+", None),
        ({"content": None}, "", None),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_is_not_lost(
    message: dict[str, Any], text: str, prefill: str | None, streamed: bool
) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        whole = chat(**message)
        return 200, chunks(whole) if streamed else whole

    request = replace(ask(0), keep_going=(lambda _: True) if streamed else None)
    (completion,), _ = answered(answer, request)
    assert (completion.text, completion.prefill) == (text, prefill)
    assert completion.length == 3


def chunks(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """A response as a stream."""
    (choice,) = whole["choices"]
    events = [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    for name in ("reasoning", "reasoning_content", "content"):
        for character in choice["message"].get(name) or "":
            events.append({"index": 0, "delta": {name: character}, "finish_reason": None})
    events.append({"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]})
    common = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    listed = [common | {"choices": [event]} for event in events]
    return [*listed, common | {"choices": [], "usage": whole["usage"]}]


def test_a_stream_that_breaks_off_is_begun_again() -> None:
    whole = chunks(chat("2 + 2 = 4"))
    failed = [*whole[:4], {"error": {"message": "Worker lost."}}]
    request = replace(ask(0), keep_going=lambda _: True)
    (completion,), script = answered(first((200, whole[:4]), (200, failed), (200, whole)), request)
    assert completion.text == "2 + 2 = 4"
    assert len(script.asked) == 3
    with pytest.raises(EngineError, match="broke off"):
        answered(first((200, whole[:4])), request, max_retries=1)
    with pytest.raises(EngineError, match="Worker lost"):
        answered(first((200, failed)), request, max_retries=1)


def test_what_is_asked() -> None:
    request = ask(0, "Why?", temperature=0.7, top_p=0.9, max_tokens=50, seed=2**63 - 1)
    _, script = answered(
        first((200, chat("4"))), request, extra_body={"top_k": 20, "top_p": 0.5}, logprobs=True
    )
    (body,) = script.asked
    assert {name: body[name] for name in body if name not in ("authorization", "number")} == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "temperature": 0.7,
        "top_p": 0.5,
        "top_k": 20,
        "max_completion_tokens": 50,
        "seed": 2**63 - 1,
        "n": 1,
        "logprobs": True,
    }


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_images_are_sent_as_the_other_engines_see_them() -> None:
    plain = Image.effect_noise((40, 30), 90).convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    see_through = plain.copy()
    see_through.putalpha(100)
    as_they_are = [encoded(plain, form) for form in ("PNG", "JPEG", "WEBP")]
    made_png = [
        encoded(plain, "BMP"),
        encoded(plain, "JPEG", exif=turned),
        encoded(see_through, "PNG"),
        encoded(plain, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")]),
    ]
    images = as_they_are + made_png
    _, script = answered(first((200, chat("4"))), ask(0, images=images))
    *parts, text = script.asked[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "How many?"}
    urls = [part["image_url"]["url"] for part in parts]
    kinds = re.findall(r"data:image/(\w+);base64,", " ".join(urls))
    assert kinds == ["png", "jpeg", "webp"] + ["png"] * 4
    sent = [base64.b64decode(url.partition(",")[2]) for url in urls]
    assert sent[:3] == as_they_are
    for mine, original in zip(sent, images, strict=True):
        assert open_image(mine).tobytes() == open_image(original).tobytes()


def test_a_broken_image_is_not_sent() -> None:
    requests = [ask(0, images=[picture("red")[:40]]), ask(1), replace(ask(2), images=[b"x"])]
    completions, script = answered(first((200, chat("4"))), *requests)
    assert completions[0].error is not None and completions[0].error.startswith("image: ")
    assert completions[1].text == "4"
    assert completions[2].error == "image: The messages mention 0 images, there are 1."
    assert len(script.asked) == 1


def test_settings_that_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="No base_url is set for the endpoint of m"):
        load_engine("policy", ModelConfig(path="m", engine="endpoint"))
    script = Script(first((200, chat("4"))), base_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"no engine_arg 'api_key'.*api_key_env") as caught:
        start(script, api_key=KEY)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="max_concurrency is not valid"):
        start(script, max_concurrency=0)
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9 can't be reached") as unreachable:
        start(script, max_retries=0)
    assert "base_url" in unreachable.value.remedy


def test_the_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(first((200, chat("4")))) as script:
        monkeypatch.setenv("OPENAI_BASE_URL", script.base_url)
        engine = load_engine("policy", ModelConfig(path="m", engine="endpoint"))
        assert answers(engine, [ask(0)])[0].text == "4"
        engine.close()
