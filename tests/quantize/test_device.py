"""Quantizers on devices that are not the CPU: one that the CPU stands in for, and a GPU if there is one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.config import Estimator
from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ, VectorQuantizer
from tests.other_device import other_device

QUANTIZERS: dict[str, Callable[[str], VectorQuantizer]] = {
    "residual": lambda estimator: ResidualVQ(16, 4, 32, estimator),
    "residual, beam": lambda estimator: ResidualVQ(16, 4, 32, estimator, beam=4, train_beam=2),
    "additive": lambda estimator: AdditiveVQ(16, 4, 32, estimator, beam=8, train_beam=2, polish=2),
    "product": lambda estimator: ProductVQ(16, 4, 32, estimator),
    "product, rotated": lambda estimator: ProductVQ(16, 4, 32, estimator, rotation=True),
}
quantizers = pytest.mark.parametrize("build", QUANTIZERS.values(), ids=QUANTIZERS.keys())


@pytest.fixture(params=["stand-in", "cuda"])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    if request.param == "stand-in":
        with other_device() as device:
            yield device
    elif torch.cuda.is_available():
        yield torch.device("cuda")
    else:
        pytest.skip("there is no GPU here")


def vectors(rng: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal((count, 16)).cumsum(axis=1)).float()


def train(quantizer: VectorQuantizer, x: Tensor) -> None:
    """k-means and a few steps, with a round of replacement between them."""
    quantizer.fit_kmeans(x[:512])
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.01)
    counts = torch.arange(len(x) // 4, device=x.device) % (quantizer.num_codebooks + 1)
    for step, batch in enumerate(x.chunk(4)):
        batch = batch.clone().requires_grad_()
        trained = quantizer(batch, counts if step % 2 else None)
        optimizer.zero_grad()
        (trained.z_q.square().mean() + trained.loss).backward()
        assert batch.grad is not None
        assert torch.isfinite(batch.grad).all()
        optimizer.step()
        if step == 1:
            quantizer.replace_unused(0.5, 1)


@quantizers
def test_it_codes_as_on_the_cpu(
    build: Callable[[str], VectorQuantizer], device: torch.device, rng: np.random.Generator
) -> None:
    """But where two words are as near as rounding can tell."""
    x = vectors(rng, 600)
    here = build("nsvq")
    here.fit_kmeans(x)
    there = copy.deepcopy(here).to(device)
    counts = torch.from_numpy(rng.integers(0, 5, len(x)))
    for n in (None, 2, counts):
        codes = there.encode(x.to(device), n.to(device) if isinstance(n, Tensor) else n)
        assert codes.device.type == device.type
        same = (codes.cpu() == here.encode(x, n)).all(dim=1)
        assert same.float().mean() > 0.99
        torch.testing.assert_close(there.decode(codes).cpu()[same], here.decode(codes.cpu())[same])
    errors = there.profile(x.to(device))[1]
    torch.testing.assert_close(errors.cpu().mean(dim=0), here.profile(x)[1].mean(dim=0), rtol=1e-3, atol=0)


@quantizers
@pytest.mark.parametrize("estimator", get_args(Estimator))
def test_it_trains_as_on_the_cpu(
    build: Callable[[str], VectorQuantizer],
    estimator: str,
    device: torch.device,
    rng: np.random.Generator,
) -> None:
    """As well as there, for a GPU draws other noise."""
    torch.manual_seed(int(rng.integers(2**31)))
    x = vectors(rng, 2048)
    here = build(estimator)
    there = copy.deepcopy(here).to(device)
    train(here, x)
    train(there, x.to(device))
    assert all(each.device.type == device.type for each in there.state_dict().values())
    errors = [(q.cpu().decode(q.encode(x)) - x).square().mean().item() for q in (here, there)]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)
    assert errors[1] < 0.5 * x.square().mean()
