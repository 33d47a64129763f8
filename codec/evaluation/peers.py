"""All codecs that a model can be measured beside."""

from __future__ import annotations

from codec.evaluation.peer import Peer
from codec.evaluation.peer_packages import PACKAGES
from codec.evaluation.peer_programs import PROGRAMS

PEERS: dict[str, Peer] = {peer.name: peer for peer in (*PROGRAMS, *PACKAGES)}
"""By name, in the order of tables. What is not installed tells so itself."""
