"""Neural codecs that are Python packages; their weights are read where these keep them, and never fetched."""

from __future__ import annotations

import importlib
import math
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.errors import CodecError
from codec.evaluation.peer import Coded, Peer
from codec.torchaudio_cpu import torchaudio

_DAC_KBPS = 0.5  # of each of its 12 codebooks of 1024 words, 50 times a second


class CodeModel(Protocol):
    """A model with weights, between audio and codes; ``bits`` are those of one code."""

    bits: int

    def encode(self, audio: Tensor, kbps: float) -> Tensor:
        """Codes [1, K, F] of audio [1, 1, T]."""

    def decode(self, codes: Tensor) -> Tensor:
        """Audio [1, 1, T] of codes [1, K, F]."""


@dataclass(frozen=True, kw_only=True)
class PackagePeer(Peer):
    """A codec that runs in this process, on the threads that torch has.

    A file of it would hold the codes alone, each in as many bits as it needs: that is what is counted.

    Attributes:
        package: that is imported.
        distribution: what pip calls it.
        weights: where its weights lie once they were fetched.
        fetch: the command that fetches them.
        load: gives the model with weights.
    """

    package: str
    distribution: str
    weights: Callable[[], Path]
    fetch: str
    load: Callable[[Path], CodeModel]

    def missing(self) -> str | None:
        """See `Peer`."""
        try:
            _package(self.package)
        except (ImportError, OSError) as error:
            return f"the package {self.package} cannot be imported ({error}): pip install {self.distribution}"
        if not self.weights().is_file():
            return f"there are no weights at {self.weights()}, and none are downloaded here: {self.fetch}"
        return None

    def code(self, samples: NDArray[np.float32], kbps: float, folder: Path) -> Coded:
        """See `Peer`; no file is written."""
        try:
            model = self.load(self.weights())
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise CodecError(
                f"the weights {self.weights()} cannot be loaded ({_first_line(error)}): {self.fetch}"
            ) from error
        try:
            return self._code(model, torch.from_numpy(samples)[None, None], kbps)
        except RuntimeError as error:
            raise CodecError(f"{self.package} failed ({_first_line(error)})") from error

    @torch.inference_mode()
    def _code(self, model: CodeModel, audio: Tensor, kbps: float) -> Coded:
        times = [time.process_time()]
        codes = model.encode(audio, kbps)
        times.append(time.process_time())
        decoded = model.decode(codes)[0, 0].float().cpu().numpy()
        times.append(time.process_time())
        size = math.ceil(codes.numel() * model.bits / 8)
        return Coded(decoded, self.sample_rate, size, size, times[1] - times[0], times[2] - times[1])


class _Encodec:
    """EnCodec (Défossez et al. 2022, arXiv 2210.13438) without its language model."""

    def __init__(self, model: Any) -> None:
        self._model = model.eval()
        self.bits: int = model.bits_per_codebook

    def encode(self, audio: Tensor, kbps: float) -> Tensor:
        self._model.set_target_bandwidth(kbps)
        ((codes, _),) = self._model.encode(audio)
        return torch.as_tensor(codes)

    def decode(self, codes: Tensor) -> Tensor:
        return torch.as_tensor(self._model.decode([(codes, None)]))


class _Dac:
    """DAC (Kumar et al. 2023, arXiv 2306.06546); a rate is a number of codebooks."""

    def __init__(self, model: Any) -> None:
        self._model = model.eval()
        self.bits = round(math.log2(model.codebook_size))

    def encode(self, audio: Tensor, kbps: float) -> Tensor:
        whole = self._model.preprocess(audio, self._model.sample_rate)
        return torch.as_tensor(self._model.encode(whole, round(kbps / _DAC_KBPS))[1])

    def decode(self, codes: Tensor) -> Tensor:
        return torch.as_tensor(self._model.decode(self._model.quantizer.from_codes(codes)[0]))


# The loaders of both packages unpickle their files, and may download: here neither happens.
@cache
def _load_encodec(weights: Path) -> CodeModel:
    model = _package("encodec").EncodecModel.encodec_model_24khz(pretrained=False)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return _Encodec(model)


@cache
def _load_dac(weights: Path) -> CodeModel:
    saved = torch.load(weights, map_location="cpu", weights_only=True)
    model = _package("dac").DAC(**saved["metadata"]["kwargs"])
    model.load_state_dict(saved["state_dict"])
    return _Dac(model)


def _package(name: str) -> ModuleType:
    # Both import torchaudio, whose extension does not load beside a CPU-only torch.
    with suppress(CodecError):
        torchaudio()
    return importlib.import_module(name)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


PACKAGES = (
    PackagePeer(
        name="encodec",
        package="encodec",
        distribution="encodec",
        weights=lambda: Path(torch.hub.get_dir()) / "checkpoints" / "encodec_24khz-d7cc33bc.th",
        fetch="python -c 'import encodec; encodec.EncodecModel.encodec_model_24khz()'",
        load=_load_encodec,
        latency_ms=13.3,
        rates=(1.5, 3.0, 6.0, 12.0),
        sample_rate=24_000,
    ),
    PackagePeer(
        name="dac",
        package="dac",
        distribution="descript-audio-codec",
        weights=lambda: Path.home() / ".cache" / "descript" / "dac" / "weights_16khz_8kbps_0.0.5.pth",
        fetch="python -m dac download --model_type 16khz",
        load=_load_dac,
        latency_ms=None,
        rates=tuple(_DAC_KBPS * number for number in range(1, 13)),
    ),
)
"""EnCodec's 24 kHz model and DAC's 16 kHz model. Both give sound in time with what they take."""
