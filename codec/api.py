"""The front door: load a codec, encode and decode arrays, turn audio into tokens and back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec import DEFAULT_MODEL
from codec.checkpoint import load_model, model_id
from codec.engine import Engine
from codec.errors import UsageError
from codec.model import CodecModel
from codec.pcm import as_frames
from codec.playback import as_codes
from codec.streaming import StreamDecoder, StreamEncoder
from codec.streaming.latents import LatentStream

Audio = NDArray[np.float32]
Codes = NDArray[np.int64]
Latents = NDArray[np.float32]


class Codec:
    """A loaded codec for whole clips in memory; files of any length go through :mod:`codec.streaming`.

    Equal bits for every batch and every way of cutting are promised on the CPU.
    """

    def __init__(self, model: CodecModel) -> None:
        self.model = model

    @classmethod
    def load(cls, name_or_path: str | Path = DEFAULT_MODEL, device: str | torch.device = "cpu") -> Codec:
        """Load a shipped model by name, or any by the path of its folder.

        Raises:
            CodecError: there is no such model, or its files are damaged.
        """
        return cls(load_model(name_or_path, device))

    @property
    def sample_rate(self) -> int:
        """The rate the model works at, Hz; other rates are resampled."""
        return self.model.config.sample_rate

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency of a live stream at the model's rate, derived from the layers."""
        return 1000.0 * self.model.latency / self.sample_rate

    @property
    def id(self) -> bytes:
        """The 8 bytes that a stream names its model by."""
        return model_id(self.model)

    def encode(
        self,
        audio: Audio,
        sample_rate: int,
        bitrate: float | None = None,
        num_codebooks: int | None = None,
    ) -> bytes:
        """Encode audio ``[T]`` or ``[T, C]`` into a bitstream; direct current is taken out of it.

        Args:
            audio: float32, full scale at 1.
            sample_rate: Hz.
            bitrate: kbit/s over all channels; 6 a channel by default.
            num_codebooks: codebooks of every frame, instead of a bitrate.

        Raises:
            UsageError: a value is out of range.
            CodecError: the audio holds NaN or infinite samples.
        """
        audio = as_frames(audio)
        encoder = StreamEncoder(self.model, sample_rate, audio.shape[1], bitrate, num_codebooks=num_codebooks)
        return b"".join(encoder.push(audio) + encoder.flush())

    def decode(self, data: bytes) -> tuple[Audio, int]:
        """Decode a bitstream: audio ``[T]``, or ``[T, C]`` for several channels, and its sample rate.

        All samples lie within full scale, -1 to 1.
        Damage is concealed and told in a warning; :class:`codec.streaming.StreamDecoder` lists its places.

        Raises:
            CodecError: this is no stream of this model, or its header is damaged.
        """
        decoder = StreamDecoder(self.model)
        audio = np.concatenate([decoder.push(data), decoder.flush()])
        assert decoder.header is not None  # flush refuses a stream without one
        if decoder.damage:
            first = decoder.damage[0]
            warnings.warn(
                f"the stream is damaged in {len(decoder.damage)} place(s), the first at "
                f"{first.start_seconds:.2f} s ({first.reason}): what is lost was concealed",
                stacklevel=2,
            )
        return (audio[:, 0] if audio.shape[1] == 1 else audio), decoder.header.sample_rate

    @overload
    def tokens(self, audio: Audio, sample_rate: int, num_codebooks: int | None = None) -> Codes: ...
    @overload
    def tokens(
        self, audio: Sequence[Audio], sample_rate: int, num_codebooks: int | None = None
    ) -> list[Codes]: ...
    def tokens(
        self, audio: Audio | Sequence[Audio], sample_rate: int, num_codebooks: int | None = None
    ) -> Codes | list[Codes]:
        """The codes ``[M, F]`` of a mono clip ``[T]``, or a list of them for a list of clips.

        Raises:
            UsageError: a clip is not mono, or ``num_codebooks`` is out of range.
        """
        if not isinstance(audio, np.ndarray):
            return [self.tokens(clip, sample_rate, num_codebooks) for clip in audio]
        count = self.model.bottleneck.num_codebooks if num_codebooks is None else num_codebooks
        if not 1 <= count <= self.model.bottleneck.num_codebooks:
            raise UsageError(
                f"num_codebooks must lie in 1..{self.model.bottleneck.num_codebooks}, not {count}"
            )
        z = self._latents(audio, sample_rate)
        n = torch.full((z.shape[1],), count, dtype=torch.int64)
        codes: Codes = Engine(self.model).search(z, n)[:count].cpu().numpy()
        return codes

    def from_tokens(self, codes: Codes, length: int | None = None) -> Audio:
        """Audio ``[length]`` at the model's rate of codes ``[M, F]``; by default all that they carry.

        All samples lie within full scale, -1 to 1.

        Raises:
            CodecError: a code is out of range.
            UsageError: the frames carry less than ``length`` samples, or these are no codes ``[M, F]``.
        """
        channels = as_codes(codes)
        if len(channels) != 1 or (length is not None and length < 0):
            raise UsageError(f"give codes [M, F] and a length from 0 on, not {np.shape(codes)} and {length}")
        samples: Audio = StreamDecoder(self.model).push_codes(codes)[:, 0]
        if length is not None and length > len(samples):
            raise UsageError(f"{channels.shape[2]} frames carry {len(samples)} samples, not {length}")
        return samples[:length]

    def latents(self, audio: Audio, sample_rate: int) -> Latents:
        """The normalized latents ``[D, F]`` of a mono clip ``[T]``, before quantization; see `encode`."""
        z: Latents = self._latents(audio, sample_rate).cpu().numpy()
        return z

    def _latents(self, audio: Audio, sample_rate: int) -> Tensor:
        frames = as_frames(audio)
        if frames.shape[1] != 1:
            raise UsageError(f"tokens are made of mono clips, and this one has {frames.shape[1]} channels")
        stream = LatentStream(Engine(self.model), sample_rate, 1)
        return stream.push(frames).join(stream.flush()).z[0]
