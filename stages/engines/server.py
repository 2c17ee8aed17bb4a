"""A server that speaks OpenAI's chat protocol: how it is reached, and what its errors mean."""

import os
import re
from dataclasses import dataclass
from typing import Any

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import ConfigError, EngineError, SophiaError
from stages.engines import ModelConfig
from stages.engines.chat import Answer
from stages.engines.conversation import RequestError

NO_KEY = "none"
"""Sent where there is no key: a server that needs none ignores it."""
ABOUT_THE_REQUEST = (400, 413, 422)
TOO_LONG = re.compile(r"context.length|context window|maximum model length|too long", re.IGNORECASE)
ABOUT_IMAGES = re.compile(r"image|multi-?modal|vision", re.IGNORECASE)
MESSAGE_CHARACTERS = 500
"""What is kept of a server's message, which may be a page of HTML."""


class Arguments(BaseModel):
    """The `engine_args` of an endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    max_concurrency: int = Field(64, ge=1, le=1000)
    """Requests under way at most; a server that batches is faster with more."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key, which is written nowhere."""
    timeout_seconds: float = Field(3600.0, gt=0)
    """How long the server may be silent: until an answer is there, waiting in its queue included,
    or, where answers are streamed, until the next piece of one."""
    max_retries: int = Field(8, ge=0)
    """How often a request is sent again. 8 times take 40 seconds, or as long as the server says."""
    extra_body: dict[str, Any] = {}
    """Further parameters of every request, such as top_k; they win over the engine's own."""
    return_token_ids: bool | None = None
    """Ask for the tokens themselves, and for the prompt, which shows what the template opened; by
    default where the server says that it is vLLM's, for other servers ignore or reject this. With
    them answers are streamed, and on a stop what there is of one is kept: the next attempt goes on
    behind it. Without them it begins anew."""
    stream_interval: int = Field(16, ge=1)
    """Tokens in a piece of a streamed answer. With more a stop takes longer, with fewer the server
    has more to do."""
    logprobs: bool = False
    """Ask for log-probabilities; `logprob` is null otherwise. vLLM's are at temperature 1."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a model is served, and with which key."""

    base_url: str
    model: str
    """The model's name at the server."""
    key: str | None
    arguments: Arguments

    @classmethod
    def of(cls, config: ModelConfig) -> "Server":
        """The server that a model's settings and the environment name.

        Raises:
            ConfigError: no base_url is set, or an engine_arg is wrong.
        """
        base_url = config.base_url or os.environ.get("OPENAI_BASE_URL")
        if not base_url:
            raise ConfigError(
                f"No base_url is set for the endpoint of {config.path}.",
                "Say where its server is: --set models.<role>.base_url=http://HOST:8000/v1.",
            )
        arguments = _arguments(config.engine_args)
        key = os.environ.get(arguments.api_key_env)
        return cls(base_url=base_url, model=config.path or "", key=key, arguments=arguments)

    def explain(
        self,
        error: APIError,
        settings: dict[str, Any],
        *,
        with_images: bool = False,
        serves_others: bool = False,
    ) -> RequestError | SophiaError:
        """What an error means: this request can't be served, or none can.

        Args:
            error: what is left after all retries.
            settings: the parameters that all requests have in common.
            with_images: whether this request has some.
            serves_others: whether others were answered meanwhile: then a server that stumbles over
                this one every time is not gone.
        """
        said = self._message(error)
        if serves_others and isinstance(error, APIStatusError) and error.status_code == 500:
            return RequestError("server", said)
        if not isinstance(error, APIStatusError) or error.status_code not in ABOUT_THE_REQUEST:
            return self._unavailable(error, said)
        if TOO_LONG.search(f"{error.code} {said}"):
            return RequestError("prompt_too_long", said)
        if error.param in settings:
            return ConfigError(
                f"{self.base_url} rejects {error.param}: {said}",
                "Every request has it: change the setting, or give another in extra_body.",
            )
        about_images = with_images and ABOUT_IMAGES.search(said)
        return RequestError("image" if about_images else "request", said)

    def check(self, answer: Answer) -> None:
        """See that an answer is one, and says what has to be known of it.

        Raises:
            EngineError: it isn't, or doesn't.
        """
        if answer.finish_reason is None:
            raise self.talks_nonsense()
        if answer.num_tokens is None and answer.token_ids is None and not answer.is_cut_short:
            raise EngineError(
                f"{self.base_url} doesn't say how many tokens it wrote (usage.completion_tokens).",
                "The shortest rollout can't be found without: use a server that does.",
            )

    def talks_nonsense(self) -> EngineError:
        """The error of a server that is none of this kind."""
        return EngineError(
            f"What {self.base_url} answers is no chat completion.",
            "Check the base_url, which mostly ends in /v1.",
        )

    def _unavailable(self, error: APIError, said: str) -> SophiaError:
        url, name = self.base_url, self.arguments.api_key_env
        match error:
            case APITimeoutError():
                return EngineError(
                    f"{url} gives no answer within {self.arguments.timeout_seconds:g} seconds.",
                    "Set a larger timeout_seconds or a smaller max_concurrency in engine_args.",
                )
            case APIConnectionError():
                return EngineError(
                    f"{url} can't be reached: {said}",
                    "Start the server or correct the base_url; the same command continues.",
                )
            case APIStatusError(status_code=401) if self.key is None:
                return ConfigError(
                    f"{url} wants a key, and {name} is not set in the environment.",
                    "Set it, or name another variable with engine_args.api_key_env.",
                )
            case APIStatusError(status_code=401 | 403):
                return EngineError(
                    f"{url} refuses the key in {name}: {said}",
                    f"See that the key is right and may use {self.model}.",
                )
            case APIStatusError(status_code=404):
                return EngineError(
                    f"{url} has no {self.model}: {said}",
                    "Check the model's path, and the base_url, which mostly ends in /v1.",
                )
            case APIStatusError(status_code=429):
                return EngineError(
                    f"{url} takes no more requests: {said}",
                    "Set a smaller max_concurrency or a larger max_retries in engine_args.",
                )
        return EngineError(
            f"{url} failed: {said}", "Its own log may say more; the same command continues."
        )

    def _message(self, error: APIError) -> str:
        """What a server says of an error, in one line and without the key."""
        body = error.body
        said = body.get("message") if isinstance(body, dict) else None
        if not said and isinstance(error, APIStatusError):
            said = f"status {error.status_code} {error.response.text}"
        said = str(said or error.__cause__ or error.message).strip().partition("\n")[0]
        if self.key:
            said = said.replace(self.key, "***")
        return said[:MESSAGE_CHARACTERS]


def _arguments(engine_args: dict[str, Any]) -> Arguments:
    try:
        return Arguments.model_validate(engine_args)
    except ValidationError as error:
        # Never the value itself, which may be a key that strayed here.
        problem = error.errors(include_input=False)[0]
        name = ".".join(map(str, problem["loc"]))
        what = (
            f"The endpoint engine has no engine_arg {name!r}."
            if problem["type"] == "extra_forbidden"
            else f"The engine_arg {name} is not valid: {problem['msg']}."
        )
        raise ConfigError(what, f"There are: {', '.join(Arguments.model_fields)}.") from None
