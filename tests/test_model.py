"""The model: derived latency is the measured one, lengths are exact, and it holds no stream."""

from __future__ import annotations

import copy

import pytest
import torch

from codec.config import CodecConfig
from codec.model import CodecModel
from tests.nn.networks import NETWORKS, seanet, spectral
from tests.nn.streams import noise
from tests.small_model import small_model


@pytest.fixture(params=NETWORKS)
def model(request: pytest.FixtureRequest) -> CodecModel:
    return small_model(config=NETWORKS[request.param])


def test_derived_latency_is_the_furthest_an_output_depends_ahead(model: CodecModel) -> None:
    hop, frames = model.config.hop, 8
    furthest = 0
    for at in range(3 * hop, 5 * hop):
        audio = noise(1, frames * hop)
        audio[0, at] = torch.nan
        output, _ = model(audio, quantize=False)
        first = int(output[0].isnan().nonzero().min())
        furthest = max(furthest, at - first)
    # An output that needs the sample n ahead can be played n + 1 samples after its own time.
    assert furthest + 1 == model.latency == hop + model.delay


def test_latency_is_a_hop_and_what_the_decoder_holds_back() -> None:
    latencies = [CodecModel(config).latency for config in (spectral(16), spectral(32), seanet())]
    assert latencies == [48, 64, 40]


@pytest.mark.parametrize("samples", [1, 2, 31, 32, 33, 40, 41, 79, 80, 81, 200])
def test_training_keeps_every_length(model: CodecModel, samples: int) -> None:
    output, quantized = model(noise(2, samples), torch.tensor([1, 4]))
    assert output.shape == (2, samples)
    assert quantized is not None
    assert quantized.codes.shape == (2, 4, model.num_frames(samples))
    assert bool((quantized.codes[0, 1:] == -1).all())


def test_frames_carry_the_samples_and_the_delay() -> None:
    model = CodecModel(spectral(16))
    assert [model.num_frames(n) for n in (0, 1, 16, 17, 48, 49)] == [0, 1, 1, 2, 2, 3]
    assert [CodecModel(seanet()).num_frames(n) for n in (0, 1, 40, 41)] == [0, 1, 1, 2]
    assert model.frame_rate == 500.0


def test_latents_have_zero_mean_and_unit_variance_in_each_frame(model: CodecModel) -> None:
    z = model.normalize(model.encoder(noise(2, 20 * model.config.hop)))
    torch.testing.assert_close(z.mean(dim=1), torch.zeros(2, 20), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.var(dim=1, unbiased=False), torch.ones(2, 20), rtol=0.02, atol=0)


def test_streaming_leaves_no_trace_in_the_model(model: CodecModel) -> None:
    def held() -> dict[str, object]:
        return {
            f"{name}.{key}": value
            for name, module in model.named_modules()
            for key, value in vars(module).items()
            if not key.startswith("_")
        }

    before, weights = copy.deepcopy(held()), copy.deepcopy(model.state_dict())
    with torch.inference_mode():
        z, _ = model.encoder.step(noise(1, 8 * model.config.hop), model.encoder.start(1), 5)
        model.decoder.step(z, model.decoder.start(1), 5)
    after = held()
    assert after.keys() == before.keys()
    assert all(after[key] == before[key] for key in before if not isinstance(before[key], CodecConfig))
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
