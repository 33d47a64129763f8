"""Memory stays flat however long a stream runs: a short form of tools/soak.py, which runs for eight hours."""

from __future__ import annotations

import os
import re

from tests.tools.conftest import run_tool


def test_memory_stays_flat_in_every_mode_and_framing() -> None:
    result = run_tool("soak.py", "--hours", "0.03", "--seed", os.environ["TEST_SEED"])
    print(result.stdout)
    assert result.exit_code == 0, result.stderr
    streams = re.findall(r"h of (container|packets), (cbr|abr|vbr): .* ([+-][\d.]+) MB since", result.stdout)
    assert len(streams) == 6
    assert all(abs(float(growth)) < 16 for *_, growth in streams)
