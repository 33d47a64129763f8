"""The engine: equal bits for every way of cutting a stream, with one thread and two, on both plans."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codec import engine as engine_module
from codec.config import CodecConfig, from_mapping, read_yaml
from codec.engine import Engine, RowPlan
from codec.model import CodecModel
from codec.nn.layers import State
from tests.nn.networks import NETWORKS
from tests.nn.streams import noise, partitions, tensors
from tests.small_model import small_model

RECIPES = Path(__file__).parents[1] / "recipes"
# A block of the largest size, one of the smallest and one that is filled up.
FRAMES = 128 + 32 + 8 - 4
MODELS = {name: small_model(config=config) for name, config in NETWORKS.items()}


class Coded(NamedTuple):
    """What a stream became: z [D, F], codes [M, F], audio [T]."""

    z: Tensor
    codes: Tensor
    audio: Tensor


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def safe_plan() -> AbstractContextManager[object]:
    """Force the plan of machines whose matrix products depend on the number of rows."""
    return patch.object(Engine, "check_rows", lambda _: RowPlan((8,), alone=True))


def run(model: CodecModel, sizes: Sequence[int]) -> Coded:
    """Code noise in pushes of `sizes` frames, with a number of codebooks that changes from frame to frame."""
    engine, total = Engine(model), sum(sizes)
    audio, limits = 0.1 * noise(total * model.config.hop), 1 + torch.arange(total) % 4
    encoder_state, decoder_state = engine.start_encoder(), engine.start_decoder()
    parts = []
    for start, end in itertools.pairwise([0, *itertools.accumulate(sizes)]):
        pcm = audio[start * model.config.hop : end * model.config.hop]
        z, encoder_state = engine.latents(pcm, encoder_state)
        codes = engine.search(z, limits[start:end])
        sound, decoder_state = engine.play(engine.dequantize(codes), decoder_state)
        parts.append((z, codes, sound))
    return Coded(*(torch.cat(pieces, dim=-1) for pieces in zip(*parts, strict=True)))


def same(a: Coded, b: Coded) -> bool:
    return all(map(torch.equal, a, b))


@settings(max_examples=40)
@given(st.sampled_from(sorted(MODELS)), partitions(FRAMES))
def test_bits_do_not_depend_on_the_cutting(name: str, sizes: list[int]) -> None:
    assert same(run(MODELS[name], sizes), run(MODELS[name], [FRAMES]))


@settings(max_examples=20)
@given(st.sampled_from(sorted(MODELS)), partitions(20))
def test_bits_do_not_depend_on_the_cutting_with_the_safe_plan(name: str, sizes: list[int]) -> None:
    with safe_plan():
        assert same(run(MODELS[name], sizes), run(MODELS[name], [20]))


@pytest.mark.parametrize("name", ["spectral", "seanet"])
def test_bits_do_not_depend_on_the_cutting_with_two_threads(name: str) -> None:
    # Few cuttings, since threads that wait for each other take long on a busy machine.
    with threads(2):
        assert same(run(MODELS[name], [1, 2, 5, 27, 120]), run(MODELS[name], [155]))
        with safe_plan():
            assert same(run(MODELS[name], [1, 4]), run(MODELS[name], [5]))


@pytest.mark.parametrize("name", ["encodec_24k", "soundstream_24k", "speech_16k"])
def test_networks_of_full_size_agree_too(name: str) -> None:
    data = read_yaml(RECIPES / name / "config.yaml")["model"]
    data["bottleneck"] = {"num_codebooks": 4, "codebook_size": 16}
    model = small_model(config=from_mapping(CodecConfig, data, name))
    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 40]
    assert same(run(model, sizes), run(model, [sum(sizes)]))


@pytest.mark.parametrize("plan", [nullcontext, safe_plan])
@pytest.mark.parametrize("name", MODELS)
def test_the_engine_computes_what_training_computes(
    name: str, plan: type[AbstractContextManager[object]]
) -> None:
    model = MODELS[name]
    with plan():
        coded = run(model, [5, 12])
    audio = 0.1 * noise(17 * model.config.hop)[None]
    torch.testing.assert_close(coded.z, model.normalize(model.encoder(audio))[0], rtol=1e-3, atol=1e-4)
    expected = model.decoder(model.bottleneck.decode(coded.codes[None]))[0]
    torch.testing.assert_close(coded.audio, expected, rtol=1e-3, atol=1e-5)


def test_frames_get_the_codebooks_they_ask_for() -> None:
    codes = run(MODELS["spectral"], [FRAMES]).codes
    sent = 1 + torch.arange(FRAMES) % 4
    assert torch.equal((codes >= 0).sum(dim=0), sent)
    assert torch.equal(codes >= 0, torch.arange(4)[:, None] < sent)


@pytest.mark.parametrize("name", MODELS)
def test_streams_interleaved_on_one_model_do_not_disturb_each_other(name: str) -> None:
    model, hop = MODELS[name], MODELS[name].config.hop
    engine = Engine(model)
    sounds = [0.1 * noise(12 * hop, seed=seed) for seed in (1, 2)]
    alone = [engine.latents(sound, engine.start_encoder())[0] for sound in sounds]
    states: list[State] = [engine.start_encoder(), engine.start_encoder()]
    pieces: list[list[Tensor]] = [[], []]
    for start, index in itertools.product(range(0, 12, 3), range(2)):
        part = sounds[index][start * hop : (start + 3) * hop]
        z, states[index] = engine.latents(part, states[index])
        pieces[index].append(z)
    assert all(
        torch.equal(torch.cat(parts, dim=1), whole) for parts, whole in zip(pieces, alone, strict=True)
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_stream_goes_on_from_a_saved_state(name: str, tmp_path: Path) -> None:
    model, hop = MODELS[name], MODELS[name].config.hop
    engine, audio = Engine(model), 0.1 * noise(20 * hop)
    _, state = engine.latents(audio[: 9 * hop], engine.start_encoder())
    torch.save(state, tmp_path / "state.pt")
    kept = copy.deepcopy(state)
    expected, _ = engine.latents(audio[9 * hop :], state)
    assert all(map(torch.equal, tensors(state), tensors(kept)))
    restored = torch.load(tmp_path / "state.pt", weights_only=True)
    assert torch.equal(engine.latents(audio[9 * hop :], restored)[0], expected)


@pytest.mark.parametrize("name", MODELS)
def test_no_frames_are_fine(name: str) -> None:
    engine = Engine(MODELS[name])
    z, state = engine.latents(torch.zeros(0), engine.start_encoder())
    assert z.shape == (16, 0)
    codes = engine.search(z, torch.zeros(0, dtype=torch.int64))
    assert codes.shape == (4, 0)
    audio, _ = engine.play(engine.dequantize(codes), engine.start_decoder())
    assert audio.shape == (0,)
    assert all(map(torch.equal, tensors(state), tensors(engine.start_encoder())))


@given(st.integers(0, 400))
def test_plans_cover_all_frames_in_order(frames: int) -> None:
    for plan in (RowPlan((128, 64, 32, 16, 8)), RowPlan((8,)), RowPlan((8,), alone=True)):
        blocks = plan.blocks(frames)
        assert sum(real for real, _ in blocks) == frames
        assert all(0 < real <= rows and rows in plan.rows for real, rows in blocks)
        assert not plan.alone or all(real == 1 for real, _ in blocks)
        # A block is filled up only at the end, and with few rows.
        assert plan.alone or all(real == rows for real, rows in blocks[:-1])
        assert plan.alone or sum(rows for _, rows in blocks) - frames <= 32


def test_the_check_runs_once_for_each_number_of_threads() -> None:
    model = small_model(seed=1)
    with patch.object(Engine, "_find_plan", return_value=RowPlan((64, 8))) as check:
        for _ in range(2):
            for number in (1, 2):
                with threads(number):
                    assert not Engine(model).check_rows().alone
        assert check.call_count == 2
    assert model in engine_module._PLANS


@pytest.mark.parametrize("sensitive", ["rows of the encoder", "frames of the decoder", "five frames"])
def test_where_rows_do_not_agree_blocks_are_small_or_every_frame_goes_alone(sensitive: str) -> None:
    model = small_model(seed=2)
    encode, decode = model.encoder.step, model.decoder.step

    def encoder_step(audio: Tensor, state: State, valid: int) -> tuple[Tensor, State]:
        z, state = encode(audio, state, valid)
        return z * (1 + 1e-6 * z.shape[2]) + 1e-6 * z.shape[2] * z.roll(1, dims=1), state

    def decoder_step(z: Tensor, state: State, valid: int) -> tuple[Tensor, State]:
        audio, state = decode(z, state, valid)
        return audio * (1 + 1e-6 * (valid == 5 if sensitive == "five frames" else valid)), state

    rows = sensitive == "rows of the encoder"
    name, step = ("encoder_network", encoder_step) if rows else ("decoder_network", decoder_step)
    with patch.object(getattr(model, name), "step", step):
        assert Engine(model).check_rows() == RowPlan((8,), alone=not rows)
        assert same(run(model, [3, 9, 1, 60]), run(model, [73]))


def test_landmarks_lie_where_silence_and_the_mean_word_lie() -> None:
    model = MODELS["spectral"]
    engine = Engine(model)
    landmarks = engine.landmarks()
    z, _ = engine.latents(torch.zeros(80 * model.config.hop), engine.start_encoder())
    assert torch.equal(landmarks.silence, z[:, -1])
    words = model.bottleneck.quantizer.words
    torch.testing.assert_close(landmarks.center, words.mean(dim=1).sum(dim=0))
    assert engine.landmarks() is landmarks
