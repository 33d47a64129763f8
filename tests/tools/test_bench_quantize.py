"""The benchmark of the quantizers runs and prints a line for each search."""

from __future__ import annotations

import re

from tests.tools.conftest import call_tool


def test_every_search_has_a_line() -> None:
    sizes = ["--dim", "8", "--num-codebooks", "2", "--codebook-size", "8"]
    few = ["--vectors", "64", "--learn", "200", "--repetitions", "1"]
    result = call_tool("bench_quantize.py", *sizes, *few)
    assert result.exit_code == 0, result.stderr
    lines = re.findall(
        r"^(\w+, [\w ,]+?|product) +[\d.]+ us/vector +error 0\.\d+", result.stdout, re.MULTILINE
    )
    for name in ("residual, greedy", "residual, beam 16", "additive, beam 16, polish 2", "product, rotated"):
        assert name in lines
