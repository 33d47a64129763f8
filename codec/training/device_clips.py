"""All training sound in one tensor on the device that trains, so that spans are cut there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.errors import CodecError
from codec.training.spans import ACTIVE_SHARE, FRAME_MS, SILENCE_RMS
from codec.training.store import ClipStore

_FULL_SCALE = 32768.0
_CANDIDATES = 8  # of one span, of which the first that is not silent is taken
_HOUR = 3600.0


class Spans(NamedTuple):
    """Where spans lie: sample `first` [B] of the tensor begins each, and only [low, high) is of its clip."""

    first: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]


class DeviceClips:
    """The samples of a store's clips in 16 bits, one after the other in one tensor on a device.

    Where spans lie is drawn by the program, which knows what is silent; the samples never come back to it. A
    clip of several channels is held as each of them and their mean, all together drawn as often as the clip.

    store: the clips. device: where the tensor goes.
    Raises CodecError where every clip has the weight 0 or the device has no room.
    """

    def __init__(self, store: ClipStore, device: torch.device) -> None:
        self.device = device
        passages, weights = [], []
        for index, clip in enumerate(store.clips):
            mono = _mono_passages(store.read(index, 0, int(store.lengths[index])))
            passages += mono
            weights += [len(mono[0]) * clip.weight / len(mono)] * len(mono)
        self._cumulative: NDArray[np.float64] = np.cumsum(weights)
        if not self._cumulative[-1] > 0.0:
            raise CodecError("every clip has the weight 0; give some of the data a positive weight")
        lengths = np.array([len(passage) for passage in passages], dtype=np.int64)
        self._high: NDArray[np.int64] = np.cumsum(lengths)
        self._low = self._high - lengths
        joined = np.concatenate(passages)
        self._frame = max(1, store.sample_rate * FRAME_MS // 1000)
        self._active_before = _count_active(joined, self._frame)
        try:
            self.samples: Tensor = torch.from_numpy(joined).to(device)
        except torch.cuda.OutOfMemoryError as error:
            hours = len(joined) / store.sample_rate / _HOUR
            raise CodecError(
                f"{hours:.1f} h of sound do not fit on the device: set on_device of the data to false"
            ) from error

    def draw(self, count: int, frames: int, rng: np.random.Generator) -> Spans:
        """Places of `count` spans of `frames` samples, each clip as often as length times weight say.

        A span lies inside its clip, or around a shorter one at a random offset. Of a few candidates for each
        the first is taken of which at least a quarter of the 20 ms frames lie above -55 dB of full scale.
        """
        points = rng.random((_CANDIDATES, count)) * self._cumulative[-1]
        clip = np.searchsorted(self._cumulative, points, side="right")
        room = self._high[clip] - self._low[clip] - frames
        # A clip that is shorter than the span begins somewhere in it.
        offset = np.floor(rng.random(points.shape) * (np.abs(room) + 1)).astype(np.int64)
        first = self._low[clip] + np.where(room >= 0, offset, -offset)
        chosen = np.argmax(self._is_active(first, clip, frames), axis=0), np.arange(count)
        return Spans(first[chosen], self._low[clip][chosen], self._high[clip][chosen])

    def cut(self, spans: Spans, frames: int, repeat: bool = False) -> Tensor:
        """The samples [B, frames] float32 of spans in [-1, 1); what lies outside of a clip is zero.

        repeat: go on at the beginning of a clip where it ends, instead.
        """
        first, low, high = to_device(np.stack(spans), self.device).unsqueeze(-1)
        places = first + torch.arange(frames, device=self.device)
        if repeat:
            places = low + torch.remainder(places - low, high - low)
        inside = (places >= low) & (places < high)
        # Outside of the clip any place will do, as long as it is one of the tensor's.
        cut: Tensor = self.samples[torch.where(inside, places, low)] * inside * (1.0 / _FULL_SCALE)
        return cut

    def _is_active(self, first: NDArray[np.int64], clip: NDArray[np.int64], frames: int) -> NDArray[np.bool_]:
        """Whether spans are more than silence, judged by the whole 20 ms frames of the tensor in them."""
        begin = np.maximum(first, self._low[clip])
        end = np.minimum(first + frames, self._high[clip])
        one, last = -(-begin // self._frame), end // self._frame
        # A span without a whole frame is too short to be called silent.
        last = np.maximum(one, last)
        active = self._active_before[last] - self._active_before[one]
        return np.asarray(active >= ACTIVE_SHARE * (last - one))


def to_device(array: NDArray[np.int64] | NDArray[np.float32], device: torch.device) -> Tensor:
    """Send a few numbers to the device without waiting for what it is doing."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def _mono_passages(samples: NDArray[np.int16]) -> list[NDArray[np.int16]]:
    """Each channel of int16 [T, C] and, where there are several, their mean: [T] each."""
    channels = [samples[:, channel] for channel in range(samples.shape[1])]
    if len(channels) > 1:
        channels.append(np.rint(samples.mean(axis=1, dtype=np.float32)).astype(np.int16))
    return channels


def _count_active(samples: NDArray[np.int16], frame: int) -> NDArray[np.int64]:
    """How many of the first n frames of samples [T] are not silent, for n from 0 to all: [T // frame + 2]."""
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    limit = frame * (SILENCE_RMS * _FULL_SCALE) ** 2
    active = np.einsum("ft,ft->f", frames, frames, dtype=np.float32, casting="unsafe") > limit
    # One more than there are, since a span at the very end may begin behind the last whole frame.
    return np.concatenate([[0], np.cumsum(active), [active.sum()]])
