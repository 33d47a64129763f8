"""Rate controls against windows whose real sizes are not what was thought."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.rate.average import AverageRate, Budget
from codec.rate.control import WindowControl
from codec.rate.planned import PlannedRate
from codec.rate.trellis import Trellis
from codec.rate.variable import VariableRate
from codec.rate.window import COST_UNIT, Window

CODEBOOKS, BITS, FRAME_RATE = 12, 10, 50.0
OVERHEAD = 104
DISTANCE = np.abs(np.subtract.outer(np.arange(CODEBOOKS + 1), np.arange(CODEBOOKS + 1)))
TRELLIS = Trellis(np.pad(np.where(DISTANCE, 3 + DISTANCE, 0) * COST_UNIT, ((0, 1), (0, 0))))


def _windows(seed: int, lengths: list[int]) -> list[Window]:
    """Windows of easy and hard frames, some of them nearly silent throughout."""
    random = np.random.default_rng(seed)
    windows = []
    for length in lengths:
        weight = random.choice([0.02, 0.3, 1.0]) * random.uniform(0.2, 1.0, (1, length, 1))
        decay = random.uniform(0.2, 0.6, (1, length, 1))
        distortion = weight * np.exp(-decay * np.arange(CODEBOOKS + 1))
        distortion[:, :, 0] = np.inf
        bits = np.broadcast_to(np.arange(CODEBOOKS + 1) * BITS * COST_UNIT, distortion.shape)
        windows.append(Window(distortion, bits))
    return windows


def _send(control: WindowControl, windows: list[Window], seed: int, bias: float) -> list[int]:
    """Real sizes in bits, which differ from those thought by a bias and chance."""
    random = np.random.default_rng(seed)
    sizes = []
    for at, window in enumerate(windows):
        factor = bias * random.uniform(0.95, 1.05)
        rest = windows[at + 1 :] if at >= len(windows) - 3 else []
        choice = control.choose(window, at == len(windows) - 1, rest)
        while True:
            size = OVERHEAD + 8 * int(np.ceil(choice.bits * (1.0 if choice.stored else factor) / 8))
            better = control.revise(window, choice, size)
            if better is None:
                break
            choice = better
        sizes.append(size)
    return sizes


def _average(bitrate: float) -> AverageRate:
    budget = Budget(bitrate / FRAME_RATE, 1200, 1.0, FRAME_RATE, BITS)
    return AverageRate(TRELLIS, OVERHEAD, None, budget)


@settings(max_examples=20)
@given(
    st.integers(0, 10**6),
    st.integers(5, 25),
    st.integers(1, 100),
    st.sampled_from([1500.0, 2000.0, 3000.0, 4500.0]),
    st.sampled_from([0.8, 1.0, 1.15]),
)
def test_the_average_is_kept_wherever_the_stream_ends(
    seed: int, blocks: int, last: int, bitrate: float, bias: float
) -> None:
    windows = _windows(seed, [100] * blocks + [last])
    total = 1200 + sum(_send(_average(bitrate), windows, seed, bias))
    seconds = (100 * blocks + last - 1) / FRAME_RATE
    assert total / seconds == pytest.approx(bitrate, rel=0.01 if bitrate >= 3000 else 0.02)


def test_the_average_is_kept_frame_by_frame() -> None:
    windows = _windows(3, [1] * 800)
    total = 1200 + sum(_send(_average(9000.0), windows, 3, 0.9))
    assert total / (799 / FRAME_RATE) == pytest.approx(9000.0, rel=0.01)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(5, 25), st.integers(1, 100), st.sampled_from([1500.0, 3000.0]))
def test_silence_at_the_end_leaves_its_bits_to_what_comes_before(
    seed: int, blocks: int, last: int, bitrate: float
) -> None:
    windows = _windows(seed, [100] * blocks + [last, 1])
    for at in (-2, -1):
        windows[at] = Window(windows[at].distortion, windows[at].bits // 20)
    total = 1200 + sum(_send(_average(bitrate), windows, seed, 1.0))
    seconds = (100 * blocks + last) / FRAME_RATE
    assert total / seconds == pytest.approx(bitrate, rel=0.01 if bitrate >= 3000 else 0.02)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(8, 25), st.integers(10, 100), st.sampled_from([4500.0, 5400.0]))
def test_what_all_codebooks_leave_over_at_the_end_goes_into_raw_codes(
    seed: int, blocks: int, last: int, bitrate: float
) -> None:
    windows = _windows(seed, [100] * blocks + [last, 1])
    for at in (-2, -1):
        distortion = windows[at].distortion.copy()
        distortion[:, min(4, distortion.shape[1]) :, 0] = 0.0  # nobody hears it
        windows[at] = Window(distortion, windows[at].bits // 200)
    total = 1200 + sum(_send(_average(bitrate), windows, seed, 0.95))
    seconds = (100 * blocks + last) / FRAME_RATE
    assert total / seconds == pytest.approx(bitrate, rel=0.01)


def test_raw_codes_are_no_choice_before_the_end_nor_where_they_are_too_many() -> None:
    windows = _windows(4, [100] * 12)
    control, sent = _average(6000.0), []
    for at, window in enumerate(windows):
        choice = control.choose(window, at == len(windows) - 1, windows[at + 1 :] if at >= 9 else [])
        while (better := control.revise(window, choice, OVERHEAD + int(0.5 * choice.bits))) is not None:
            choice = better
        sent.append(choice.stored)
    assert not any(sent[:9])
    assert any(sent[9:])


def test_hard_windows_get_more_bits_than_easy_ones() -> None:
    windows = _windows(1, [100] * 20)
    sizes = np.array(_send(_average(3000.0), windows, 1, 1.0))
    hard = np.array([window.distortion[:, :, 1].mean() for window in windows])
    assert np.corrcoef(hard, sizes)[0, 1] > 0.3


@pytest.mark.parametrize("bias", [0.8, 1.0, 1.6])
def test_the_limit_holds_whatever_was_thought(bias: float) -> None:
    windows = _windows(2, [100] * 20)
    limit = 70.0
    sizes = _send(VariableRate(TRELLIS, OVERHEAD, limit, 9.0), windows, 2, bias)
    assert max(sizes) <= 100 * limit
    assert max(sizes) > 90 * limit


def test_quality_can_change_from_window_to_window() -> None:
    control = VariableRate(TRELLIS, OVERHEAD, None, 2.0)
    window = _windows(5, [100])[0]
    before = control.choose(window, False).bits
    control.retarget(7.0)
    assert control.choose(window, False).bits > 1.5 * before


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(5, 20), st.integers(1, 100), st.sampled_from([0.8, 1.0, 1.15]))
def test_a_plan_hits_its_size(seed: int, blocks: int, last: int, bias: float) -> None:
    windows = _windows(seed, [100] * blocks + [last])
    control = PlannedRate(TRELLIS, OVERHEAD, None)
    for window in windows:
        control.add(window)
    total = 50.0 * (100 * blocks + last) + OVERHEAD * (blocks + 1)
    control.begin(total)
    spent = sum(_send(control, windows, seed, bias))
    assert spent == pytest.approx(total, rel=0.01)


def test_a_plan_keeps_one_slope() -> None:
    windows = _windows(8, [100] * 12)
    control = PlannedRate(TRELLIS, OVERHEAD, None)
    for window in windows:
        control.add(window)
    control.begin(60.0 * 1200)
    slopes = []
    for at, window in enumerate(windows):
        choice = control.choose(window, at == 11)
        slopes.append(choice.slope)
        control.revise(window, choice, OVERHEAD + round(choice.bits))
    assert max(slopes[:10]) - min(slopes[:10]) <= 2
