"""Round trips of clips through another codec's programs."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.evaluation.evaluate import Clip, RoundTrip, Setting
from codec.evaluation.peers import Peer, run_program
from codec.resample import Resampler


def peer_round_trip(peer: Peer, clip: Clip, kbps: float, folder: Path) -> RoundTrip:
    """Encode and decode a clip, each channel as a file of its own in ``folder``; nothing is scored.

    What comes back has the clip's rate and length, aligned with it by the peer's known delay; the
    processor times include the start of the programs. Raises ``CodecError`` where a program fails.
    """
    channels = clip.audio.reshape(len(clip.audio), -1)
    decoded, file_bytes, payload_bytes = [], 0, 0
    spent = np.zeros(2)
    for channel in channels.T:
        source, coded = folder / "source.wav", folder / f"coded{peer.suffix}"
        target = folder / ("decoded.raw" if peer.raw else "decoded.wav")
        _write(peer, source, channel, clip.sample_rate)
        for part, command, ends in ((0, peer.encode, (source, coded)), (1, peer.decode, (coded, target))):
            start = _children_seconds()
            run_program(command(str(ends[0]), str(ends[1]), kbps))
            spent[part] += _children_seconds() - start
        file_bytes += coded.stat().st_size
        payload_bytes += peer.payload(coded)
        decoded.append(_read(peer, target, clip))
    audio = np.stack(decoded, axis=1).reshape(clip.audio.shape)
    setting = Setting(bitrate=kbps, peer=peer.name)
    return RoundTrip(clip, setting, audio, file_bytes, payload_bytes, float(spent[0]), float(spent[1]), {})


def _children_seconds() -> float:
    """Processor time of all programs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _write(peer: Peer, path: Path, channel: NDArray[np.float32], sample_rate: int) -> None:
    samples = np.clip(_resample(channel, sample_rate, peer.sample_rate), -1.0, 1.0)
    # What comes late must come out too.
    samples = np.pad(samples, (0, peer.delay))
    kind = "RAW" if peer.raw else "WAV"
    soundfile.write(path, samples, peer.sample_rate, "PCM_16", format=kind)


def _read(peer: Peer, path: Path, clip: Clip) -> NDArray[np.float32]:
    """The decoded channel [T] at the clip's rate, cut or filled with silence to its length."""
    if peer.raw:
        layout = {"channels": 1, "samplerate": peer.sample_rate, "format": "RAW", "subtype": "PCM_16"}
        samples, rate = soundfile.read(path, dtype="float32", **layout)
    else:
        samples, rate = soundfile.read(path, dtype="float32")
    samples = _resample(samples[peer.delay * rate // peer.sample_rate :], rate, clip.sample_rate)
    result = np.zeros(len(clip.audio), np.float32)
    result[: len(samples)] = samples[: len(result)]
    return result


def _resample(samples: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    resampler = Resampler(from_rate, to_rate, 1)
    return np.concatenate([resampler.push(samples[:, None]), resampler.flush()])[:, 0]
