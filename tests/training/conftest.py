"""What the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.sounds import write_folder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes a minute or more; leave out with -m 'not slow'")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three clips of noise."""
    return write_folder(tmp_path_factory.mktemp("clips"))
