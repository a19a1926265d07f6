"""The compiled decoder is the network, in one piece or in many, alone or beside others."""

import numpy as np
import pytest
import scipy.signal
import torch

from pcodec import PcodecError
from pcodec.fargan import steps
from pcodec.fargan.config import HISTORY, SIZES, FarganConfig
from pcodec.fargan.model import Fargan, lags
from pcodec.fargan.synthesis import Synthesizer
from pcodec.features.vocoder import DELAY
from pcodec.lpcnet.model import LPCNet, LPCNetConfig

FRAMES = 200  # 2 s


def network(size):
    """A decoder of random weights that float16 can hold."""
    model = Fargan(SIZES[size], seed=3)
    for parameter in model.parameters():
        parameter.data.add_(0.03 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model.half().float()


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(1)
    features = rng.normal(0, 0.4, (FRAMES, 20)).astype(np.float32)
    features[:, 18] = np.repeat(rng.uniform(-1.4, 3.2, FRAMES // 10), 10)
    return features


@pytest.mark.parametrize("size", ["large", "tiny"])
def test_compiled_is_the_network(size, features):
    model = network(size)
    given = torch.from_numpy(np.pad(features, ((2, 2), (0, 0)), mode="edge"))[None]
    past, made = torch.zeros(1, HISTORY), []
    with torch.no_grad():
        conditioning, lag = model.frame(given), lags(given[:, 2:-2])
        states = model.step.start(1, past)
        for number in range(4 * FRAMES):
            of_step = conditioning[:, number // 4, number % 4]
            samples, states = model.step(of_step, past, lag[:, number // 4], states)
            past = torch.cat([past[:, 40:], samples], dim=1)
            made.append(samples)
    true = scipy.signal.lfilter([1.0], [1.0, -0.85], torch.cat(made, dim=1)[0].numpy())[80:]
    found = Synthesizer(model.config, model.arrays()).decode(features)
    assert found.shape == (160 * FRAMES - 80,) and 0.01 < np.abs(true).max() < 1
    assert found == pytest.approx(true, abs=2e-5)


def test_in_pieces_and_beside_others(features):
    model = network("tiny")
    decoder = Synthesizer(model.config, model.arrays())
    whole = decoder.decode(features)
    for cuts in ([1, 2, 3, 5, 60], [100], [4, 4, 8], [0, 1]):
        state = decoder.start()
        pieces = [decoder.advance(state, part) for part in np.split(features, cuts)]
        assert sum(map(len, pieces)) == 160 * FRAMES and not pieces[0][:320].any()
        pieces.append(decoder.advance(state, features[:0], last=True))
        assert np.array_equal(np.concatenate(pieces)[DELAY:], whole)
    several = [features, features[::-1], 0.5 * features[:77], features, features[:3]]
    together = decoder.decode_together(several, [None] * 5)
    assert np.array_equal(together[0], whole) and np.array_equal(together[3], whole)
    for of_signal, samples in zip(several, together, strict=True):
        assert np.array_equal(samples, decoder.decode(of_signal))
    assert decoder.decode(features[:0]).shape == (0,)


def test_refusals(tmp_path):
    with pytest.raises(PcodecError, match="gru_2 must be a multiple of 16, got 100"):
        Synthesizer(FarganConfig(gru_2=100), {})
    LPCNet(LPCNetConfig(units=16), seed=1).save(tmp_path / "a.safetensors")
    with pytest.raises(PcodecError, match=r"a\.safetensors: no Fargan decoder: of the family lpcnet"):
        Synthesizer.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(("deaf_to", "changed"), [("copy", slice(0, -40)), ("before", slice(-40, None))])
def test_a_decoder_without_an_input_does_not_hear_it(deaf_to, changed, tmp_path):
    model = Fargan(SIZES["tiny"], seed=1)
    model.save(tmp_path / "d.safetensors")
    with torch.no_grad():
        model.load_state_dict({name: torch.from_numpy(value) for name, value in
                               steps.without(model.config, model.arrays(), deaf_to).items()})  # fmt: skip
        past = torch.rand(2, 260)
        past[1] = past[0]
        past[1, changed] = 0.5
        others = (torch.rand(1, 48).expand(2, -1), torch.tensor([100, 100]))
        states = model.step.start(2, past)
        first, states = model.step(others[0], past, *others[1:], states)
        second, _ = model.step(others[0], past, *others[1:], states)
    assert torch.equal(first[0], first[1]) and torch.equal(second[0], second[1])
    features = np.random.default_rng(1).normal(0, 0.3, (20, 20)).astype(np.float32)
    whole, without = (Synthesizer.load(tmp_path / "d.safetensors", what).decode(features) for what in ("", deaf_to))
    assert not np.allclose(whole, without)
