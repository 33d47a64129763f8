"""Settings every test shares: one printed seed a session, one thread, hypothesis without a deadline."""

from __future__ import annotations

import os
import secrets
import signal

import hypothesis
import numpy as np
import pytest

# Before torch is imported by any test, so that it starts with one thread, in subprocesses as well: tests run
# side by side with other work, and with more threads their times and memory would depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# In continuous integration the same examples come every time; elsewhere each run looks at new ones, and a
# failing one is printed with the line that reproduces it.
hypothesis.settings.register_profile(
    "codec", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("codec")

# Under nohup and in the background of a script signals come ignored, which the programs under test respect:
# they must begin as they would on a terminal.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

SEED = int(os.environ.setdefault("TEST_SEED", str(secrets.randbelow(2**31))))


def pytest_report_header() -> str:
    return f"random tests: TEST_SEED={SEED}"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of this session's seed, alike for a test whether it runs alone or among others."""
    print(f"TEST_SEED={SEED}")
    return np.random.default_rng(SEED)
