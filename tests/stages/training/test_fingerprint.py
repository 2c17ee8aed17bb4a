"""What a training state says of itself."""

from itertools import accumulate

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from stages.training.fingerprint import CHUNK, sum_of_squares


def test_a_norm_takes_no_copy_of_the_state_in_float64() -> None:
    state = torch.randn(4 * CHUNK + 7, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.vector_norm(state, dtype=torch.float64).item() ** 2
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        found = sum_of_squares(state)
    assert found.item() == pytest.approx(expected, rel=1e-11)
    events = profiled.profiler.kineto_results.events()
    moves = [each for each in events if each.name() == "[memory]"]
    moves.sort(key=lambda each: each.start_ns())
    assert max(accumulate(each.nbytes() for each in moves)) < 2 * 8 * CHUNK
