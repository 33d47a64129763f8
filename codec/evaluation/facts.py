"""What a result says of the model behind it."""

from __future__ import annotations

from dataclasses import dataclass

from codec.api import Codec
from codec.checkpoint import weights_of


@dataclass(frozen=True)
class ModelFacts:
    """Name of a model, id in hex, number of parameters, rate in Hz, algorithmic latency in ms."""

    name: str
    model_id: str
    parameters: int
    sample_rate: int
    latency_ms: float


def model_facts(codec: Codec) -> ModelFacts:
    """Collect the facts of a loaded codec; ``parameters`` counts all that a release stores."""
    return ModelFacts(
        name=codec.model.config.name,
        model_id=codec.id.hex(),
        parameters=sum(value.numel() for value in weights_of(codec.model).values()),
        sample_rate=codec.sample_rate,
        latency_ms=codec.latency_ms,
    )
