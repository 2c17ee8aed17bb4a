from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny_models
from tests.stages.training.standing import Standing


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    tiny_models.save_policy(folder)
    return folder


@pytest.fixture(scope="package")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Ranks that stay until the last of these tests; a test asks for `standing`, or runs them."""
    standing = Standing(tmp_path_factory.mktemp("ranks"))
    yield standing
    standing.end()


@pytest.fixture
def standing(ranks: Standing) -> Iterator[Standing]:
    """Training takes ranks that are there already."""
    with ranks.in_place():
        yield ranks
