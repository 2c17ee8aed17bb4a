"""Servers to ask: vLLM's own with a tiny model, and one that answers what it is told to."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

# `vllm serve` itself asks for the version of a package called vllm, which vLLM's CPU build is not.
SERVE = (sys.executable, "-m", "vllm.entrypoints.openai.api_server")
CPU_OPTIONS = (
    *("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64"),
    *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096"),
)
CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCH_COMPILE_DISABLE": "1",
}
START_SECONDS = 180


@dataclass
class Served:
    """A model behind a real server."""

    process: subprocess.Popen[bytes]
    base_url: str

    def metric(self, name: str) -> float:
        """One of the numbers that vLLM counts."""
        address = self.base_url.removesuffix("/v1") + "/metrics"
        with urllib.request.urlopen(address) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}{{"))

    def all_tokens(self) -> float:
        """How many tokens it has written, once it writes no more: counts come a little late."""
        seen, deadline = -1.0, time.monotonic() + 30
        while (now := self.metric("generation_tokens_total")) != seen or self.metric(
            "num_requests_running"
        ):
            assert time.monotonic() < deadline
            seen = now
            time.sleep(1)
        return now

    def kill(self) -> None:
        """With the processes of its engine, which would outlive it."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


@contextlib.contextmanager
def serve(path: Path, name: str, log: Path, *options: str) -> Iterator[Served]:
    """Run vLLM's server until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*SERVE, "--model", str(path), "--served-model-name", name]
    command += ["--host", "127.0.0.1", "--port", str(port), *CPU_OPTIONS, *options]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=os.environ | CPU_ENVIRONMENT
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield Served(process, f"http://127.0.0.1:{port}/v1")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.3)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-3000:]}")


Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, content (JSON, or text, or a list of events), headers."""


@dataclass
class Script:
    """A server that answers as it is told, and remembers what it was asked."""

    answer: Callable[[dict[str, Any]], Reply]
    """From the body of a request and how many came before, under `number`."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    base_url: str = ""


@contextlib.contextmanager
def scripted(answer: Callable[[dict[str, Any]], Reply]) -> Iterator[Script]:
    """Run a server on which every chat is answered by a function; it has no list of models."""
    script = Script(answer)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply(404, {"error": {"message": "no list here"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body["authorization"] = self.headers["Authorization"]
            with lock:
                body["number"] = len(script.asked)
                script.asked.append(body)
                script.times.append(time.monotonic())
            self.reply(*script.answer(body))

        def reply(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
            headers = {"Content-Type": "application/json"} | (headers or {})
            if isinstance(content, list):
                headers["Content-Type"] = "text/event-stream"
                content = "".join(f"data: {json.dumps(event)}\n\n" for event in content)
            data = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    script.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()


def chat(
    content: str | None, *, finish_reason: str = "stop", num_tokens: int = 3, **message: Any
) -> dict[str, Any]:
    """A response in OpenAI's form."""
    return {
        "id": "chat",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content} | message,
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": num_tokens, "total_tokens": 4},
    }
