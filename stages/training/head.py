"""The language model's head, which never holds the logits of all tokens at once.

T: response tokens. H: hidden size. V: vocabulary.
"""

from deepspeed.sequence.linear_cross_entropy import vocab_parallel_linear_cross_entropy
from torch import Tensor, nn


def token_logprobs(
    hidden_TH: Tensor, weight_VH: Tensor, bias_V: Tensor | None, target_T: Tensor
) -> Tensor:
    """Log-probability of each target token, float32 whatever the type of the weights. Shape [T].

    DeepSpeed's fused linear cross-entropy computes logits in chunks of tokens going forward, and
    again in chunks of the vocabulary going backward. A chunk takes about as much memory as
    `hidden_TH` in float32, where all logits, [T, V], would take V / H times that: 20 GB for 32,768
    tokens and 151,674 words, three times over.
    """
    nll_T: Tensor = vocab_parallel_linear_cross_entropy(
        hidden_TH, weight_VH, target_T, bias_V, reduction="none"
    )
    return -nll_T


class Head(nn.Module):
    """A head that gives log-probabilities instead of logits.

    It is a module of its own, with the parameters that the model's head has, under the same names:
    ZeRO-3 gathers weights for the module that is called.

    Args:
        linear: the model's own head, whose parameters this one shares.
    """

    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)

    def forward(self, hidden_TH: Tensor, target_T: Tensor) -> Tensor:
        """Log-probabilities of the targets, float32. Shape [T]."""
        return token_logprobs(hidden_TH, self.weight, self.bias, target_T)
