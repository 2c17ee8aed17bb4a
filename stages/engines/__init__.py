"""Text from models: requests in, completions out as they finish.

To add an engine, write a module with a class that satisfies `Engine` and whose constructor takes a
`ModelConfig`, and add a line to `ENGINES`.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from data.errors import ConfigError

ENGINES = {
    "transformers": "stages.engines.transformers:TransformersEngine",
    "vllm": "stages.engines.vllm:VllmEngine",
    "endpoint": "stages.engines.endpoint:EndpointEngine",
}

Message = dict[str, Any]
"""`{"role": ..., "content": [{"type": "image"} | {"type": "text", "text": ...}, ...]}`"""


class ModelConfig(BaseModel):
    """A model and the engine that runs it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: str | None = None
    """Folder or hub id of a Hugging Face model; `world:policy`, `world:reasoner`: the built-in. Of
    an endpoint: the model's name at the server."""
    engine: Literal["transformers", "vllm", "endpoint"] = "transformers"
    """What runs the model; `endpoint`: a server that speaks OpenAI's chat protocol."""
    base_url: str | None = None
    """Where the endpoint's server is, such as http://localhost:8000/v1; by default what the
    environment says in OPENAI_BASE_URL. Engine-only."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Weights and arithmetic; auto: the checkpoint's own on a GPU, float32 on the CPU."""
    batch_size: int = Field(16, ge=1)
    """Rows that the transformers engine generates together. Engine-only."""
    engine_args: dict[str, Any] = {}
    """Passed on to the engine as they are, such as tensor_parallel_size. An endpoint has its own:
    see `stages.engines.server.Arguments`."""

    @property
    def group_size(self) -> int:
        """Rows that must share a batch for the same bytes; 1: a row's neighbours don't matter."""
        return self.batch_size if self.engine == "transformers" else 1


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 1.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens whose probabilities sum to at least this."""
    max_tokens: int = 32768
    """Tokens generated at most; a rollout that reaches it ends with finish_reason `length`."""


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What a row's unfinished answer says so far: generation goes on behind it."""

    token_ids: Sequence[int]
    logprob: float
    """Sum over `token_ids`, as in `Completion`."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion wanted."""

    id: Any
    """Comes back with the completion."""
    messages: Sequence[Message]
    """The conversation, ending with the user's turn."""
    images: Sequence[bytes] = ()
    """Encoded images, one for each image entry of the messages, in order."""
    sampling: Sampling
    seed: int
    """63 bits; the tokens drawn depend on nothing else that is random."""
    group: Any = None
    """Requests of one group, which arrive together, share a batch. It follows from the keys, so
    that what a row says does not depend on what else is left to do."""
    prefix: Prefix | None = None
    """Where an attempt that was stopped had come to. Its tokens count in `max_tokens` and are part
    of the completion. An engine that never hands out `unfinished` completions begins anew."""
    keep_going: Callable[[int], bool] | None = None
    """Asked now and then with the number of tokens so far, the prefix's included, of an answer that
    has not ended; where it says no the completion is `pruned`."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What a model answered to a request."""

    id: Any
    text: str | None = None
    """Without the end-of-turn token; nothing else is removed or changed."""
    token_ids: Sequence[int] = ()
    """All tokens generated, the end-of-turn token included."""
    num_tokens: int | None = None
    """How many tokens were generated, where an engine does not know which."""
    logprob: float | None = None
    """Sum over `token_ids` of log-probabilities at temperature 1, before top-p."""
    finish_reason: Literal["stop", "length", "pruned", "unfinished", "error"] = "error"
    """`unfinished`: everything was to stop; the tokens so far are a `Prefix` for the next attempt.
    `pruned`: `keep_going` said no; the tokens so far are there, the text is not."""
    error: str | None = None
    """Why there is no text: `kind: explanation`, with kind such as `image` or `prompt_too_long`."""
    prefill: str | None = None
    """What the chat template itself wrote of the answer: `<think>` and what follows it."""

    @property
    def length(self) -> int:
        """How many tokens were generated."""
        return len(self.token_ids) if self.num_tokens is None else self.num_tokens

    @property
    def known_token_ids(self) -> list[int] | None:
        """The tokens generated; None where only their number is known."""
        return list(self.token_ids) if self.num_tokens is None else None


class Engine(Protocol):
    """A running model.

    Construct it from a `ModelConfig` and a `should_stop`. The constructor loads the weights, and
    raises `Stopped` where that takes long and `should_stop` turns true meanwhile.
    """

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer requests, in any order, reading them only as there is room.

        A request that can't be served (broken image, prompt too long) is a completion with an
        error; it never raises. When `should_stop` turns true the iterator ends soon: what is under
        way comes out as `unfinished` completions, or is dropped by an engine that can't continue.

        Raises:
            EngineError: the engine itself failed.
        """
        ...

    def figures(self) -> Mapping[str, float]:
        """How the engine is doing, such as its `running` requests; shares end in `_rate`."""
        ...

    def close(self) -> None:
        """Free the memory and end the processes that the engine started."""
        ...


def load_engine(
    name: str, config: ModelConfig, should_stop: Callable[[], bool] = lambda: False
) -> Engine:
    """Start the engine of one model.

    Args:
        name: the model's role, such as `policy`, for messages.
        config: which model, and which engine.
        should_stop: turns true when it is no longer wanted.

    Raises:
        ConfigError: no path is set.
        InputError: there is no model at that path.
        Stopped: it was no longer wanted before it was there.
    """
    if config.path is None:
        raise ConfigError(
            f"models.{name}.path is not set.",
            f"Name a model folder or hub id: --set models.{name}.path=PATH.",
        )
    module, _, attribute = ENGINES[config.engine].partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)(config, should_stop)
    return engine
