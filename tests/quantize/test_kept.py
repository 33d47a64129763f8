"""What is worked out from a tensor is worked out anew when, and only when, the tensor is another."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import Tensor, nn

from codec.quantize.kept import Kept


def _doubled(tensor: Tensor) -> Tensor:
    return 2 * tensor.detach()


def test_it_is_made_once_while_nothing_changes() -> None:
    kept, words = Kept(_doubled), torch.ones(3)
    assert kept.of(words) is kept.of(words)


def test_it_follows_changes_in_place() -> None:
    kept, words = Kept(_doubled), torch.ones(3)
    kept.of(words)
    words.mul_(5.0)
    assert torch.equal(kept.of(words), torch.full((3,), 10.0))


def test_another_tensor_never_gets_what_was_made_from_one_that_is_gone() -> None:
    # Freed memory is soon used again, at the same address.
    kept, module = Kept(_doubled), nn.Module()
    for value in range(20):
        module.words = nn.Parameter(torch.full((1000,), float(value)), requires_grad=False)
        assert kept.of(module.words)[0] == 2 * value
        del module.words


def test_what_learns_is_made_each_time() -> None:
    kept, words = Kept(_doubled), torch.ones(3, requires_grad=True)
    assert kept.of(words) is not kept.of(words)


def test_copies_and_pickles_leave_it_behind() -> None:
    kept, words = Kept(_doubled), torch.ones(100_000)
    first = kept.of(words)
    assert len(pickle.dumps(kept)) < 1000
    assert copy.deepcopy(kept).of(words) is not first


def test_what_is_made_in_inference_mode_serves_outside_of_it() -> None:
    kept, words = Kept(_doubled), torch.ones(3)
    with torch.inference_mode():
        made = kept.of(words)
    assert not made.is_inference()
    assert kept.of(words) is made
