"""Round trips of clips through another codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codec.evaluation.evaluate import Clip, RoundTrip, Setting
from codec.evaluation.peer import Coded, Peer
from codec.resample import Resampler


def peer_round_trip(peer: Peer, clip: Clip, kbps: float, folder: Path) -> RoundTrip:
    """Encode and decode a clip, each channel by itself with files in ``folder``; nothing is scored.

    What comes back has the clip's rate and length, aligned with it by the peer's known delay; the
    processor times include the start of programs. Raises ``CodecError`` where the peer fails.
    """
    channels = clip.audio.reshape(len(clip.audio), -1).T
    coded = [peer.code(_prepare(peer, channel, clip.sample_rate), kbps, folder) for channel in channels]
    audio = np.stack([_align(peer, each, clip) for each in coded], axis=1).reshape(clip.audio.shape)
    return RoundTrip(
        clip,
        Setting(bitrate=kbps, peer=peer.name),
        audio,
        sum(each.file_bytes for each in coded),
        sum(each.payload_bytes for each in coded),
        sum(each.encode_seconds for each in coded),
        sum(each.decode_seconds for each in coded),
        {},
    )


def _prepare(peer: Peer, channel: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """The channel at the peer's rate, and silence behind it, since what comes late must come out too."""
    samples = np.clip(_resample(channel, sample_rate, peer.sample_rate), -1.0, 1.0)
    length = len(samples) + peer.delay
    return np.pad(samples, (0, length + -length % peer.hop - len(samples)))


def _align(peer: Peer, coded: Coded, clip: Clip) -> NDArray[np.float32]:
    """The decoded channel [T] at the clip's rate, cut or filled with silence to its length."""
    late = peer.delay * coded.sample_rate // peer.sample_rate
    samples = _resample(coded.samples[late:], coded.sample_rate, clip.sample_rate)
    result = np.zeros(len(clip.audio), np.float32)
    result[: len(samples)] = samples[: len(result)]
    return result


def _resample(samples: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    resampler = Resampler(from_rate, to_rate, 1)
    return np.concatenate([resampler.push(samples[:, None]), resampler.flush()])[:, 0]
