import sys
from pathlib import Path

import absl.logging
import pytest

from tests.tiny_models import save_policy, save_reasoner

# vLLM's import closes all log handlers, and absl's, which rouge-score brings, closes its stream
# along: it is not to be what pytest captures with.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(scope="session")
def reasoner_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "reasoner"
    save_reasoner(path)
    return path


@pytest.fixture(scope="session")
def policy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "policy"
    save_policy(path)
    return path
