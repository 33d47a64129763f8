"""Every shipped model has a card, and the card names the model that lies beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codec import Codec

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in CHECKPOINTS.glob("*/config.yaml")), ids=lambda path: path.name
)
def test_the_card_names_the_id_that_files_of_the_model_carry(folder: Path) -> None:
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    named = re.findall(r"\| model id \| ([0-9a-f]{16}) \|", card)
    assert named == [Codec.load(folder).id.hex()]
