"""Print what a model costs: parameters, arithmetic, frame rate, latency and bitrate.

    python tools/describe_model.py recipes/encodec_24k/config.yaml

Weights are neither drawn nor read. The arithmetic is that of matrix products and
convolutions, a multiplication and its addition being two operations.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from codec.checkpoint import CONFIG_NAME
from codec.config import BottleneckConfig, CodecConfig, from_mapping, read_yaml
from codec.errors import CodecError
from codec.model import CodecModel
from codec.quantize.complexity import beam_products
from codec.rate import codebook_bitrate

# Sound that operations are counted over.
_SECONDS = 2


def read_config(path: Path) -> CodecConfig:
    """The model's configuration in a recipe's yaml, a checkpoint's yaml or a checkpoint's folder.

    Raises:
        CodecError: there is no such file, or a key or value in it is wrong.
    """
    path = path / CONFIG_NAME if path.is_dir() else path
    data = read_yaml(path)
    # A recipe holds the model beside its training, a checkpoint holds nothing else.
    return from_mapping(CodecConfig, data.get("model", data), str(path))


def describe(model: CodecModel) -> list[tuple[str, str]]:
    """Names and values for one line each; parameters as they are stored, with weight normalization folded."""
    config, bottleneck = model.config, model.bottleneck
    unit = codebook_bitrate(model) / 1000
    milliseconds = 1000 * model.latency / config.sample_rate
    arithmetic = ", ".join(f"{name} {count:.0f}" for name, count in megaflops(model).items())
    return [
        ("model", f"{config.name}, {config.network.kind}, {config.sample_rate} Hz"),
        ("encoder", _millions(model.encoder_network)),
        ("decoder", _millions(model.decoder_network)),
        ("codebooks", f"{_millions(bottleneck)}: {bottleneck.num_codebooks} x {bottleneck.codebook_size}"),
        ("arithmetic", f"{arithmetic} MFLOPs a second of sound"),
        ("frame rate", f"{model.frame_rate:g} frames/s of {config.dim} numbers"),
        ("latency", f"{milliseconds:.1f} ms: {config.hop} samples a hop + {model.delay} of delay"),
        ("bitrate", f"{unit:g} kbit/s a codebook, {unit * bottleneck.num_codebooks:g} kbit/s in all"),
    ]


def megaflops(model: CodecModel) -> dict[str, float]:
    """Millions of operations a second of sound: ``encoder``, ``decoder``, and ``search`` of all codebooks.

    The search is that of a residual bottleneck; of others it is left out.
    """
    config, frames = model.config, round(_SECONDS * model.frame_rate)
    inputs = {
        "encoder": (model.encoder_network, (1, frames * config.hop)),
        "decoder": (model.decoder_network, (1, config.dim, frames)),
    }
    counts = {}
    for name, (network, shape) in inputs.items():
        # Without weights, whose values do not count, and with gradients, since the counter does not know
        # the products of inference.
        empty = copy.deepcopy(network).to_empty(device="cpu")
        with FlopCounterMode(display=False) as counter, torch.device("cpu"), torch.enable_grad():
            empty(torch.zeros(shape))
        counts[name] = counter.get_total_flops() / _SECONDS / 1e6
    if isinstance(config.bottleneck, BottleneckConfig):
        sizes = (config.bottleneck.num_codebooks, config.bottleneck.codebook_size, config.bottleneck.beam)
        counts["search"] = 2 * beam_products(config.dim, *sizes) * model.frame_rate / 1e6
    return counts


def _millions(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M parameters"


def main(
    path: Annotated[Path, typer.Argument(help="A recipe's config.yaml or the folder of a checkpoint.")],
) -> None:
    """Print what the model of a recipe or checkpoint costs."""
    try:
        with torch.device("meta"):
            lines = describe(CodecModel(read_config(path)))
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    for name, value in lines:
        typer.echo(f"{name:<12}{value}")


if __name__ == "__main__":
    typer.run(main)
