from pathlib import Path

import pytest

from tests.tiny_models import save_policy, save_reasoner


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
