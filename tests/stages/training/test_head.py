import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.training.head import Head, token_logprobs
from stages.training.loss import ResponseTokens, sophia

T, H, V = 23, 16, 301


def eager(head: nn.Linear, hidden_TH: Tensor, target_T: Tensor) -> Tensor:
    return -functional.cross_entropy(head(hidden_TH).float(), target_T, reduction="none")


@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_are_those_of_the_logits(bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(H, V, bias=bias)
    hidden_TH = torch.randn(T, H, requires_grad=True)
    target_T, weight_T = torch.randint(V, (T,)), torch.randn(T)
    found = []
    for logprobs in (eager(linear, hidden_TH, target_T), Head(linear)(hidden_TH, target_T)):
        leaves = [hidden_TH, *linear.parameters()]
        gradients = torch.autograd.grad((logprobs * weight_T).sum(), leaves)
        found.append([logprobs.detach(), *gradients])
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_no_tensor_holds_the_logits_of_all_tokens() -> None:
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            made = function(*arguments, **(keywords or {}))
            if isinstance(made, Tensor):
                largest = max(largest, made.numel())
            return made

    linear = nn.Linear(H, V, bias=False)
    hidden_TH, target_T = torch.randn(T, H, requires_grad=True), torch.randint(V, (T,))
    with Watch():
        Head(linear)(hidden_TH, target_T).sum().backward()
    assert largest <= max(V * H, 2 * T * H) < T * V


def test_logprobs_are_float32_whatever_the_weights_are() -> None:
    hidden = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    identity = torch.eye(3, dtype=torch.bfloat16)
    logprobs = token_logprobs(hidden.bfloat16(), identity, None, torch.tensor([0, 1]))
    assert logprobs.dtype == torch.float32
    expected = [2 - math.log(math.exp(2) + 2), -math.log(math.exp(4) + 2)]
    assert logprobs.tolist() == pytest.approx(expected, abs=1e-6)


def test_gradient_of_sophia_is_the_weighted_score() -> None:
    # d/dz of -R log softmax(z)_y is R (softmax(z) - onehot(y)).
    logits = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    logprob = token_logprobs(logits, torch.eye(3), None, torch.tensor([1]))
    loss = sophia(ResponseTokens(logprob_T=logprob, reward_T=torch.tensor([0.75]))).sum() / 2
    loss.backward()
    expected = 0.75 / 2 * (torch.softmax(logits, -1) - torch.tensor([[0.0, 1.0, 0.0]]))
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, expected)
