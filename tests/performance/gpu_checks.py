"""What a GPU shows before its speed counts: attention, packing and head give what they should.

N: attention heads. K: key-value heads. L: tokens of a pack. D: size of a head.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.training.attention import Segments, has_kernel, packed_attention
from stages.training.head import token_logprobs
from stages.training.packing_check import TOLERANCES, rows_to_check
from stages.training.plan import Plan
from stages.training.policy import Batch, Policy

GIB = 2**30


class Stopwatch:
    """Seconds of a block, by CUDA events where there is a GPU. Use as a context manager."""

    seconds: float

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"

    def __enter__(self) -> "Stopwatch":
        if self.on_gpu:
            self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            torch.cuda.synchronize()
            self.events[0].record()
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self.on_gpu:
            self.events[1].record()
            torch.cuda.synchronize()
            self.seconds = self.events[0].elapsed_time(self.events[1]) / 1e3
        else:
            self.seconds = time.perf_counter() - self.started


def peak_gib(device: torch.device, work: Callable[[], Any]) -> float:
    """The most memory allocated while something ran, beyond what was before; 0 on the CPU."""
    if device.type != "cuda":
        work()
        return 0.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / GIB


def relative(found: Tensor, expected: Tensor) -> float:
    """||found - expected|| / ||expected||."""
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def cut(length: int, parts: int) -> tuple[int, ...]:
    """Lengths of so many rows, each twice the next one, that fill a pack."""
    shares = [2.0**-index for index in range(parts)]
    lengths = [max(1, int(length * share / sum(shares))) for share in shares]
    return (length - sum(lengths[1:]), *lengths[1:])


def check_attention(
    device: torch.device, lengths: list[int], *, heads: int, key_heads: int, size: int
) -> dict[str, Any]:
    """The packed path against sdpa on each row: outputs and gradients, and time."""

    def tensors(length: int, dtype: torch.dtype) -> list[Tensor]:
        torch.manual_seed(length)
        shapes = [(1, count, length, size) for count in (heads, key_heads, key_heads)]
        return [torch.randn(*shape, device=device).to(dtype).requires_grad_() for shape in shapes]

    module = nn.Module()
    module.num_key_value_groups = heads // key_heads  # type: ignore[assignment]

    def attend(inputs: list[Tensor], segments: Segments, window: int | None) -> Tensor:
        return packed_attention(module, *inputs, None, segments=segments, sliding_window=window)[0]

    shortest = lengths[0]
    segments = Segments.of(cut(shortest, 5), device)
    half = tensors(shortest, torch.bfloat16)
    exact = [each.detach().float().requires_grad_() for each in half]
    upstream = torch.randn(1, shortest, heads, size, device=device)
    errors = {}
    for window in (None, shortest // 8):
        outs = []
        for inputs in (half, exact):  # in float32 the packed path is sdpa, row by row
            out = attend(inputs, segments, window)
            gradients = torch.autograd.grad((out.float() * upstream).sum(), inputs)
            outs.append([out, *gradients])
        errors["full" if window is None else "window"] = {
            name: relative(*pair)
            for name, *pair in zip(("out", "query", "key", "value"), *outs, strict=True)
        }
    milliseconds = {}
    for length in lengths:
        segments = Segments.of(cut(length, 5), device)
        inputs = tensors(length, torch.bfloat16)
        for name, pack in (("rows", segments), ("one_row", Segments.of((length,), device))):
            took = []
            for _ in range(5):
                with Stopwatch(device) as watch:
                    attend(inputs, pack, None).sum().backward()
                took.append(watch.seconds * 1e3)
            milliseconds[f"{length} {name}"] = round(statistics.median(took), 3)
    return {
        "kernel": has_kernel(half[0]),
        "relative_error_bf16_against_sdpa_float32": errors,
        "forward_and_backward_ms": milliseconds,
    }


def check_packing(policy: Policy, plan: Plan) -> dict[str, Any]:
    """Logits of packed rows against the same rows alone, in the type the policy has."""
    rows = rows_to_check(plan)
    logits: list[Tensor] = []
    language = policy.language.eval()

    def keep(head: Any, given: tuple[Tensor, Tensor]) -> None:
        logits.append(functional.linear(given[0], head.weight).float())

    hook = language.lm_head.register_forward_pre_hook(keep)

    def run(batches: list[Batch], packed: bool) -> tuple[Tensor, Tensor]:
        """Logits and log-probabilities of all response tokens, in the order of the rows."""
        policy.use_packed_attention(packed)
        logits.clear()
        logprob_T = torch.cat([language(batch) for batch in batches])
        return torch.cat(logits), logprob_T

    with torch.no_grad():
        single = [policy.batch(plan, [row]) for row in rows]
        pack = policy.batch(plan, rows)
        total = (sum(pack.segments.lengths),)
        mixed = replace(pack, segments=Segments.of(total, policy.device))
        alone, packed = run(single, packed=False), run([pack], packed=True)
        kernel_alone, seen = run(single, packed=True), run([mixed], packed=True)
    hook.remove()
    language.train()

    def difference(found: tuple[Tensor, Tensor]) -> dict[str, float]:
        logits_TV = (found[0] - alone[0]).abs()
        logprob_T = (found[1] - alone[1]).abs()
        return {
            "logits_max": logits_TV.max().item(),
            "logits_mean": logits_TV.mean().item(),
            "logprob_max": logprob_T.max().item(),
            "logprob_mean": logprob_T.mean().item(),
        }

    found = difference(packed)
    return {
        "rows": len(rows),
        "row_tokens": list(pack.segments.lengths),
        "logits_std": alone[0].std().item(),
        "packed_against_alone": found,
        "packed_path_on_single_rows_against_own_attention": difference(kernel_alone),
        "rows_that_see_each_other_against_alone": difference(seen),
        "start_up_check_passes": found["logprob_mean"] <= TOLERANCES[alone[0].dtype]
        or found["logprob_mean"] <= TOLERANCES[torch.bfloat16],
    }


def check_head(
    device: torch.device, token_counts: list[int], vocabulary: int, hidden_size: int
) -> list[dict[str, Any]]:
    """Fused head against all logits: memory, time, and how far gradients are from float32's."""
    rows = []
    for tokens in token_counts:
        torch.manual_seed(0)
        hidden_TH = torch.randn(tokens, hidden_size, device=device).bfloat16().requires_grad_()
        weight_VH = torch.randn(vocabulary, hidden_size, device=device).mul_(hidden_size**-0.5)
        weight_VH = weight_VH.bfloat16().requires_grad_()
        target_T = torch.randint(vocabulary, (tokens,), device=device)

        def fused() -> Tensor:
            return token_logprobs(hidden_TH, weight_VH, None, target_T)  # noqa: B023

        def eager() -> Tensor:
            logits_TV = functional.linear(hidden_TH, weight_VH).float()  # noqa: B023
            return -functional.cross_entropy(logits_TV, target_T, reduction="none")  # noqa: B023

        found: dict[str, Any] = {"tokens": tokens}
        values = {}
        for name, head in (("fused", fused), ("eager", eager)):

            def work(head: Callable[[], Tensor] = head) -> None:
                (-head().sum() / tokens).backward()  # noqa: B023

            try:
                work()
                found[f"{name}_gib"] = round(peak_gib(device, work), 3)
                took = []
                for _ in range(3):
                    hidden_TH.grad = weight_VH.grad = None
                    with Stopwatch(device) as watch:
                        work()
                    took.append(watch.seconds * 1e3)
                found[f"{name}_ms"] = round(statistics.median(took), 2)
                assert hidden_TH.grad is not None
                values[name] = hidden_TH.grad.float()
            except torch.OutOfMemoryError:
                found[f"{name}_gib"] = "out of memory"
            hidden_TH.grad = weight_VH.grad = None
        if len(values) == 2:
            found["hidden_gradients_relative_difference"] = relative(*values.values())
        rows.append(found)
        print(json.dumps(found), flush=True)
    return rows
