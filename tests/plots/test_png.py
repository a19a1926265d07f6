"""A saved figure has the colours that were drawn, and a spectrogram takes little space."""

import io

import numpy as np
import pytest
from PIL import Image

from pcodec import paths, plots
from pcodec.experiment.run import Run, _compact

TINTS = [(221, 235, 244), (255, 237, 213), (232, 226, 239)]  # light blue, orange and purple


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Saves the figure of axes as a notebook does, and opens it."""
    monkeypatch.setenv("PCODEC_HOME", str(tmp_path))
    here = object.__new__(Run)
    here.name, here.speech, here.preset, here.seed = "smoke-demo", "speech", "smoke", 1

    def save(axes):
        here.figure(axes, "x")
        return Image.open(paths.figures("smoke-demo") / "x.png")

    return save


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_figure_keeps_its_tints(saved):
    ax = plots.bit_allocation({"a": 30, "b": 34})
    for bar, tint in zip(ax.patches, TINTS, strict=False):
        bar.set_facecolor([value / 255 for value in tint])
    image = saved(ax)
    found = set(image.getdata())
    assert image.mode == "RGB" and set(TINTS[:2]) <= found


def test_a_spectrogram_gets_a_palette(saved):
    noise = np.random.default_rng(1).normal(0, 0.1, 5 * 16000)
    image = saved(plots.spectrograms({"one": noise, "other": noise}))
    assert image.mode == "P" and len(image.getcolors()) <= 256


def test_a_palette_keeps_tints_beside_a_raster_of_many_colours():
    image = np.random.default_rng(1).integers(0, 256, (200, 200, 3))
    for number, tint in enumerate(TINTS):
        image[20 * number : 20 * number + 20, :60] = tint
    with Image.open(io.BytesIO(_compact(png(image)))) as found:
        assert found.mode == "P"
        pixels = np.asarray(found.convert("RGB")).astype(int)
    assert [tuple(pixels[20 * number + 10, 30]) for number in range(len(TINTS))] == TINTS
    assert np.abs(pixels - image).mean() < 16, "the raster itself changes little"
