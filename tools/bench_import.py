"""Time `import codec` and `codec --help` in fresh processes; the goal for each is half a second.

    python tools/bench_import.py [--runs 7]

Prints the median wall time of each, with the bare interpreter's start for comparison.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

GOAL_SECONDS = 0.5
COMMANDS = {
    "python (bare start)": [sys.executable, "-c", ""],
    "import codec": [sys.executable, "-c", "import codec"],
    "codec --help": [sys.executable, "-c", "from codec.cli.main import main; main()", "--help"],
}


def median_seconds(command: list[str], runs: int) -> float:
    """Median wall time of a command in seconds, after one run that warms the file cache."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print one line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each command")
    runs = parser.parse_args().runs
    for name, command in COMMANDS.items():
        seconds = median_seconds(command, runs)
        verdict = "" if seconds <= GOAL_SECONDS else f"  above the goal of {GOAL_SECONDS} s"
        print(f"{name:<20} {seconds * 1000:6.0f} ms{verdict}")


if __name__ == "__main__":
    main()
