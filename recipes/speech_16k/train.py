"""Train the 16 kHz speech codec: `codec train` with this folder's config; `--data FOLDER` is needed."""

from __future__ import annotations

import sys
from pathlib import Path

from codec.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", str(Path(__file__).resolve().with_name("config.yaml")), *sys.argv[1:]]))
