from pathlib import Path

import pytest

from tests import tiny_models


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    tiny_models.save_policy(folder)
    return folder
