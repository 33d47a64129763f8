"""The balancer's promise: gradients relate as the weights, whatever the scale of the losses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from codec.training.balancer import LossBalancer


class Model(nn.Module):
    """A parameter whose gradient is the gradient with respect to the output."""

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2, size))

    def forward(self) -> Tensor:
        return self.bias * 1.0


def combined(balancer: LossBalancer, model: Model, directions: dict[str, Tensor]) -> Tensor:
    """One step with losses that are linear in the output, hence with the given gradients."""
    model.bias.grad = None
    output = model()
    balancer.backward({name: (output * g).sum() for name, g in directions.items()}, output)
    assert model.bias.grad is not None
    return model.bias.grad.clone()


def axis(index: int, length: float) -> Tensor:
    g = torch.zeros(2, 64)
    g[0, index] = length
    return g


def test_shares_follow_the_weights_whatever_the_scales() -> None:
    balancer, model = LossBalancer({"mel": 1.0, "complex": 3.0}, total_norm=2.0), Model()
    for _ in range(5):
        found = combined(balancer, model, {"mel": axis(0, 1e4), "complex": axis(1, 1e-4)})
        assert found[0, 0].item() == pytest.approx(2.0 * 1 / 4, rel=1e-4)
        assert found[0, 1].item() == pytest.approx(2.0 * 3 / 4, rel=1e-4)


def test_real_losses_keep_the_ratio_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    balancer, model = LossBalancer({"a": 1.0, "b": 2.0}, decay=0.99), Model()
    norms: dict[str, list[float]] = {"a": [], "b": []}
    for _ in range(400):
        # Alike in direction to their axis, but of a size that varies between steps.
        sizes = torch.rand(2, generator=generator) + 0.5
        found = combined(balancer, model, {"a": axis(0, 50 * sizes[0]), "b": axis(1, 0.01 * sizes[1])})
        norms["a"].append(found[0, 0].item())
        norms["b"].append(found[0, 1].item())
    means = {name: sum(values) / len(values) for name, values in norms.items()}
    assert means["b"] / means["a"] == pytest.approx(2.0, rel=0.05)
    assert means["a"] + means["b"] == pytest.approx(1.0, rel=0.05)


def test_the_average_is_a_corrected_moving_average() -> None:
    balancer, model = LossBalancer({"a": 1.0}, decay=0.9), Model()
    lengths = [4.0, 1.0, 2.0]
    for step, length in enumerate(lengths, start=1):
        found = combined(balancer, model, {"a": axis(0, length)})
        weights = [0.9 ** (step - 1 - k) for k in range(step)]
        average = sum(w * n for w, n in zip(weights, lengths, strict=False)) / sum(weights)
        assert found[0, 0].item() == pytest.approx(length / average, rel=1e-5)


def test_norms_before_balancing_are_returned() -> None:
    balancer, model = LossBalancer({"a": 1.0, "b": 1.0, "unused": 0.0}), Model()
    output = model()
    losses = {"a": (output * axis(0, 3.0)).sum(), "b": output.sum(), "unused": output.sum()}
    norms = balancer.backward(losses, output)
    assert {name: norm.item() for name, norm in norms.items()} == pytest.approx({"a": 3.0, "b": 128**0.5})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_gradient_is_left_out_and_counted(bad: float) -> None:
    balancer, model = LossBalancer({"good": 1.0, "bad": 1.0}), Model()
    before = combined(balancer, model, {"good": axis(0, 1.0), "bad": axis(1, 5.0)})
    during = combined(balancer, model, {"good": axis(0, 1.0), "bad": axis(1, bad)})
    assert during.isfinite().all()
    assert during[0, 0].item() == pytest.approx(before[0, 0].item())
    assert during[0, 1].item() == 0.0
    assert balancer.excluded() == {"good": 0, "bad": 1}
    after = combined(balancer, model, {"good": axis(0, 1.0), "bad": axis(1, 5.0)})
    torch.testing.assert_close(after, before)


def test_a_bad_first_gradient_is_survived() -> None:
    balancer, model = LossBalancer({"a": 1.0}), Model()
    assert (combined(balancer, model, {"a": axis(0, float("nan"))}) == 0).all()
    assert combined(balancer, model, {"a": axis(0, 7.0)})[0, 0].item() == pytest.approx(1.0)


def test_zero_gradients_leave_the_scale_as_it_was() -> None:
    balancer, model = LossBalancer({"a": 1.0}, decay=0.9), Model()
    combined(balancer, model, {"a": axis(0, 3.0)})
    for _ in range(100):
        assert (combined(balancer, model, {"a": axis(0, 0.0)}) == 0).all()
    assert combined(balancer, model, {"a": axis(0, 3.0)})[0, 0].item() == pytest.approx(1.0)
    assert balancer.excluded() == {"a": 0}


def test_losses_left_out_give_their_share_to_the_others() -> None:
    balancer, model = LossBalancer({"mel": 1.0, "adversarial": 3.0}), Model()
    assert combined(balancer, model, {"mel": axis(0, 5.0)})[0, 0].item() == pytest.approx(1.0)


def test_what_lies_behind_the_output_gets_no_gradient() -> None:
    balancer, model, judge = LossBalancer({"a": 1.0}), Model(), nn.Linear(64, 1)
    output = model()
    loss = judge(output).square().mean()
    balancer.backward({"a": loss}, output)
    assert model.bias.grad is not None
    assert judge.weight.grad is None
    # The same graph still serves the judge's own step.
    loss.backward(inputs=list(judge.parameters()))
    assert judge.weight.grad is not None


def test_averages_survive_a_checkpoint() -> None:
    model = Model()
    first, second = (LossBalancer({"a": 1.0, "b": 1.0}, decay=0.9) for _ in range(2))
    for length in (1.0, 10.0):
        combined(first, model, {"a": axis(0, length), "b": axis(1, 1.0)})
    second.load_state_dict(first.state_dict())
    step = {"a": axis(0, 2.0), "b": axis(1, 4.0)}
    torch.testing.assert_close(combined(second, model, step), combined(first, model, step), rtol=0, atol=0)


def test_wrong_use_is_refused() -> None:
    for weights in ({}, {"a": 0.0}, {"a": -1.0, "b": 2.0}):
        with pytest.raises(ValueError, match="weights"):
            LossBalancer(weights)
    with pytest.raises(ValueError, match="decay"):
        LossBalancer({"a": 1.0}, decay=1.0)
    output = Model()()
    with pytest.raises(ValueError, match="no weight for typo"):
        LossBalancer({"a": 1.0}).backward({"typo": output.sum()}, output)
    with pytest.raises(ValueError, match="weight above zero"):
        LossBalancer({"a": 1.0, "b": 0.0}).backward({"b": output.sum()}, output)


def _rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    balancer, model = LossBalancer({"a": 1.0, "b": 1.0}), Model()
    lengths = (1.0, 3.0)
    steps = [{"a": axis(0, lengths[rank]), "b": axis(1, 1.0)}]
    steps.append({"a": axis(0, float("nan") if rank else 2.0), "b": axis(1, 1.0)})
    found = [combined(balancer, model, step) for step in steps]
    torch.save({"found": found, "state": balancer.state_dict()}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_ranks_share_one_average(tmp_path: object) -> None:
    spawn(_rank, args=(str(tmp_path),), nprocs=2)
    ranks = [torch.load(f"{tmp_path}/{rank}.pt", weights_only=True) for rank in range(2)]
    # Mean norm 2 on the first step, so that each rank is scaled by 1/2, and half the weight.
    assert ranks[0]["found"][0][0, 0].item() == pytest.approx(0.25)
    assert ranks[1]["found"][0][0, 0].item() == pytest.approx(0.75)
    # The second step is averaged over the good rank only, and the bad one is left out where it occurred.
    assert ranks[0]["found"][1][0, 0].item() == pytest.approx(0.5)
    assert ranks[1]["found"][1][0, 0].item() == 0.0
    for name in ("norm_sum_a", "norm_weight_a"):
        assert ranks[0]["state"][name] == ranks[1]["state"][name]
    assert [int(rank["state"]["excluded_a"]) for rank in ranks] == [0, 1]
