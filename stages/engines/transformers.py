"""Text from Hugging Face's own `generate`, batch by batch: any model, no other package.

A batch is a group of requests and nothing else, and every row draws from its own seed, so that on
the CPU the same group gives the same bytes whenever and wherever it runs.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from data.errors import EngineError, InputError
from stages.engines import Completion, ModelConfig, Request
from stages.engines.checkpoints import Checkpoint, open_checkpoint, reason, unreadable
from stages.engines.conversation import RequestError, failure
from stages.engines.rendering import Prompt, Renderer
from stages.engines.sampling import Row, RowSampler


@dataclass(frozen=True)
class _Entry:
    """A request that can be served so far."""

    request: Request
    prompt: Prompt


@dataclass
class _Batch:
    """Requests as the model takes them."""

    inputs: Any
    entries: list[_Entry] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


class TransformersEngine:
    """Runs a model in this process.

    Args:
        config: `engine_args` go to `from_pretrained`, except for `num_threads`: how many threads
            compute on the CPU. It moves the last bits, so it is 1 wherever this runs unless set.

    Raises:
        InputError: there is no such model.
        EngineError: its weights don't fit into memory.
    """

    def __init__(
        self, config: ModelConfig, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.batch_size = config.batch_size
        self.checkpoint = open_checkpoint(config.path or "")
        self.renderer = Renderer(self.checkpoint)
        engine_args = dict(config.engine_args)
        self.num_threads = engine_args.pop("num_threads", None if torch.cuda.is_available() else 1)
        self.model = _load_model(self.checkpoint, config.dtype, engine_args)
        # Recommendations such as top_k or a repetition penalty would change what is drawn.
        self.model.generation_config = GenerationConfig()
        tokenizer = self.checkpoint.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer the requests of a group together, one group after the other."""
        for _, group in groupby(requests, key=lambda request: request.group):
            while batch := list(islice(group, self.batch_size)):
                if should_stop():
                    return
                yield from self._answer(batch, should_stop)

    def figures(self) -> dict[str, float]:
        """Nothing that the report does not know."""
        return {}

    def close(self) -> None:
        """Let go of the weights."""
        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _answer(
        self, requests: Sequence[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        """Answer one batch; nothing once `should_stop` has turned true."""
        entries = []
        for request in requests:
            try:
                entries.append(_Entry(request, self.renderer.prompt(request)))
            except RequestError as error:
                yield failure(request, error)
        # Processors don't agree on how a batch says that some of its rows have no image.
        for with_images in (False, True):
            chosen = [entry for entry in entries if bool(entry.prompt.images) == with_images]
            batch, failures = self._encode(chosen)
            yield from failures
            if batch is not None and not should_stop():
                yield from self._write(batch, should_stop)

    def _encode(self, entries: Sequence[_Entry]) -> tuple[_Batch | None, list[Completion]]:
        """Turn prompts into the model's input, leaving out those that can't be served."""
        if not entries:
            return None, []
        try:
            with _threads(self.num_threads):
                inputs = self._process([entry.prompt for entry in entries])
        except Exception as error:  # whatever a processor raises is about its input
            if len(entries) == 1:
                return None, [failure(entries[0].request, entries[0].prompt.rejected(error))]
            return self._encode_each(entries)
        batch = _Batch(inputs)
        failures = []
        for entry, length in zip(entries, inputs["attention_mask"].sum(1).tolist(), strict=True):
            try:
                limit = self.checkpoint.context_length
                max_tokens = self.renderer.max_tokens(entry.request, length, limit)
                asked = entry.request
                row = Row(asked.sampling, max_tokens, asked.seed, asked.keep_going)
                batch.rows.append(row)
                batch.entries.append(entry)
            except RequestError as error:
                failures.append(failure(entry.request, error))
        if not failures:
            return batch, []
        shorter, more = self._encode(batch.entries)
        return shorter, failures + more

    def _encode_each(self, entries: Sequence[_Entry]) -> tuple[_Batch | None, list[Completion]]:
        """Find the prompts that the processor rejects, and encode the others together."""
        accepted, failures = [], []
        for entry in entries:
            batch, rejected = self._encode([entry])
            failures += rejected
            if batch is not None:
                accepted.append(entry)
        if len(accepted) == len(entries):
            raise EngineError(
                "The processor takes every prompt of a batch alone, but not together.",
                "Set the model's batch_size to 1.",
            )
        batch, more = self._encode(accepted)
        return batch, failures + more

    def _process(self, prompts: Sequence[Prompt]) -> Any:
        texts = [prompt.text for prompt in prompts]
        # Templates write the special tokens themselves.
        options: dict[str, Any] = {
            "return_tensors": "pt",
            "padding": True,
            "add_special_tokens": False,
        }
        if not self.checkpoint.multimodal:
            return self.checkpoint.tokenizer(texts, return_token_type_ids=False, **options)
        if prompts[0].images:
            options["images"] = [prompt.images for prompt in prompts]
        return self.checkpoint.processor(text=texts, **options)

    def _write(self, batch: _Batch, should_stop: Callable[[], bool]) -> Iterator[Completion]:
        """Generate one batch."""
        sampler = RowSampler(batch.rows, self.checkpoint.end_token_ids, should_stop)
        try:
            self._run(batch.inputs, sampler)
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"{len(batch.rows)} rows of {self.checkpoint.path} don't fit into memory.",
                "Set a smaller batch_size for the model, or fewer max_tokens.",
            ) from error
        except Exception as error:
            raise EngineError(
                f"{self.checkpoint.path} failed: {type(error).__name__}: {reason(error)}",
                "Look at the error above it in the log; another dtype or batch_size may help.",
            ) from error
        if sampler.abandoned:
            return
        for entry, row in zip(batch.entries, batch.rows, strict=True):
            if row.pruned:
                yield Completion(
                    id=entry.request.id,
                    token_ids=row.token_ids,
                    logprob=row.logprob,
                    finish_reason="pruned",
                )
            else:
                yield self.renderer.completion(
                    entry.request, entry.prompt, row.token_ids, row.logprob
                )

    def _run(self, inputs: Any, sampler: RowSampler) -> None:
        # Pixels take the weights' dtype; token ids stay integers.
        dtype = {"dtype": self.model.dtype} if self.checkpoint.multimodal else {}
        with torch.inference_mode(), _threads(self.num_threads):
            self.model.generate(
                **inputs.to(self.model.device, **dtype),
                logits_processor=[sampler.pick],
                stopping_criteria=[sampler.is_finished],
                max_new_tokens=max(row.max_tokens for row in sampler.rows),
                do_sample=False,
                pad_token_id=self.checkpoint.tokenizer.pad_token_id,
            )


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads; None: as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _load_model(checkpoint: Checkpoint, dtype: str, engine_args: dict[str, Any]) -> Any:
    on_gpu = torch.cuda.is_available()
    if dtype == "auto" and not on_gpu:
        dtype = "float32"
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": False}
    if on_gpu:
        options["device_map"] = "cuda"
    kind = AutoModelForImageTextToText if checkpoint.multimodal else AutoModelForCausalLM
    disable_progress_bar()
    try:
        model, loading = kind.from_pretrained(
            checkpoint.path, **(options | engine_args), output_loading_info=True
        )
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"The weights of {checkpoint.path} don't fit into the GPU's memory.",
            'Set engine_args.device_map to "auto" to use several, or use a smaller dtype.',
        ) from error
    except Exception as error:  # whatever is raised here is about these files
        raise unreadable(checkpoint.path, error) from error
    if missing := sorted(loading["missing_keys"]):
        raise InputError(
            f"{checkpoint.path} lacks weights, such as {missing[0]}.",
            "Check that the folder is complete.",
        )
    return model.eval()
