"""Train the smoke recipe on the clips beside it: `codec train` with these two filled in."""

from __future__ import annotations

import sys
from pathlib import Path

from codec.cli.main import main

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    sys.exit(main(["train", str(HERE / "config.yaml"), "--data", str(HERE / "clips"), *sys.argv[1:]]))
