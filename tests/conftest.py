"""Speech for the tests: generated voices; LibriSpeech and noise where the environment says that they are."""

import ctypes
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from pcodec.speech import audio, corpus


def pytest_configure(config):
    """A worker ends with the tests, however they end, and not with the test that it is at."""
    if hasattr(config, "workerinput") and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def pytest_collection_modifyitems(items):
    """The longest file first: the others are done beside it, and no worker waits at the end."""
    items.sort(key=lambda item: item.path.name != "test_workflow.py")


@pytest.fixture(scope="session")
def demo():
    """Table of the generated voices, split; paths are absolute."""
    table = corpus.split(corpus.demo(), 0.17)
    root = corpus.folder_of("demo")
    return table.assign(path=[str(root / path) for path in table.path])


@pytest.fixture(scope="session")
def speech(demo):
    """One utterance of a male test speaker."""
    return audio.read(demo[(demo.split == "test") & (demo.gender == "M")].path.iloc[0])


@pytest.fixture(scope="session")
def librispeech():
    root = os.environ.get("PCODEC_LIBRISPEECH")
    if not root:
        pytest.skip("PCODEC_LIBRISPEECH is not set")
    return Path(root).resolve()


@pytest.fixture(scope="session")
def noise_folder():
    folder = os.environ.get("PCODEC_NOISE")
    if not folder:
        pytest.skip("PCODEC_NOISE is not set")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def original_codebooks(librispeech):
    """The reference's trained codebooks, beside LibriSpeech."""
    from pcodec.bitstream.codebooks import Codebooks

    path = librispeech.parent / "lpcnet" / "ceps_codebooks_2019.npz"
    if not path.exists():
        pytest.skip(f"the original codebooks are not at {path}")
    return Codebooks.load(path)


@pytest.fixture(scope="session")
def test_vector():
    """The signal of the reference's test vector (specification section 13)."""
    n = np.arange(3840)
    x = np.round(3000 * sum(np.sin(2 * np.pi * h * 125 * n / 16000) / h for h in range(1, 11)))
    assert x[:8].tolist() == [0, 1450, 2769, 3845, 4605, 5022, 5116, 4951]
    return x / audio.SCALE


@pytest.fixture(scope="session")
def codebooks(demo):
    """Codebooks trained on a part of the generated voices' training speakers."""
    from pcodec import features
    from pcodec.bitstream.codebooks import train_codebooks

    train = [features.cached(path).features for path in demo[demo.split == "train"].path[:60]]
    return train_codebooks(train, max_frames=6000)


@pytest.fixture(scope="session")
def dataset(demo, codebooks):
    """A few prepared utterances."""
    from pcodec.lpcnet import examples

    return examples.SampleDataset.build(demo[demo.split == "train"].iloc[::24], Path(), codebooks, augment=False)


@pytest.fixture(scope="session")
def codec_folder(demo, codebooks, tmp_path_factory):
    """Untrained decoders of two families for C = 1 and 2, whose groups are the genders of generated voices."""
    from pcodec.fargan.config import SIZES
    from pcodec.fargan.model import Fargan
    from pcodec.lpcnet.model import LPCNet, LPCNetConfig
    from pcodec.speakers import embedding, groups, voiceprint

    folder = tmp_path_factory.mktemp("codec")
    codebooks.save(folder / "codebooks.npz")
    encoder = embedding.SpeakerEncoder().eval()
    rows = demo[demo.split == "train"].groupby("speaker").head(2)
    z = embedding.embed(encoder, [voiceprint.log_mel(audio.read(path)) for path in rows.path])
    groups.SpeakerGroups.fit(encoder, z, rows.gender.tolist(), 2).save(folder / "groups-C2.safetensors")
    for seed, name in enumerate(["general", "C2-g0", "C2-g1"]):
        for model in LPCNet(LPCNetConfig(units=32), seed=seed), Fargan(SIZES["tiny"], seed=seed):
            model.provenance = {"codebooks": codebooks.identity}
            model.save(folder / f"{model.config.FAMILY}-{model.config.size}-{name}.safetensors")
    return folder
