"""Figures of packets show every bit once, in the order in which bits are sent, and every curve."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from pcodec import plots
from pcodec.bitstream.quantizer import FIELDS
from pcodec.plots import coding, style


def test_bit_allocation_fills_the_packet_in_order():
    ax = plots.bit_allocation(FIELDS)
    starts = [bar.get_x() for bar in ax.patches]
    assert starts == [0, *np.cumsum(list(FIELDS.values()))[:-1]] and ax.get_xlim() == (0, 64)
    assert [text.get_text().split("\n")[0] for text in ax.texts] == list(FIELDS)
    assert set(coding.OF_PITCH) < set(FIELDS)


def test_every_flipped_bit_has_its_bars():
    names = np.repeat(list(FIELDS), list(FIELDS.values()))
    columns = {name: np.arange(64) for name in ("rms_cepstrum", "rms_octaves", "rms_correlation")}
    axes = plots.bit_sensitivity(pd.DataFrame({"bit": np.arange(64), "field": names, **columns}))
    for ax in axes:
        bars = [bar for bars in ax.containers for bar in bars]
        assert [bar.get_height() for bar in bars] == list(range(64))
    assert [text.get_text() for text in axes[0].texts] == list(FIELDS)


def test_quantization_has_a_colour_a_split():
    rows = [("this run", "train"), ("this run", "test"), ("shipped", "test")]
    table = pd.DataFrame(
        [(*row, f"c{c}", 0.1 * i + c) for i, row in enumerate(rows) for c in range(3)],
        columns=["codebooks", "split", "feature", "rms_error"],
    )
    drawn = {(to_hex(line.get_color()), line.get_ydata()[0]) for line in plots.quantization(table).lines
             if len(line.get_ydata()) == 3}  # fmt: skip
    train, test = style.SPLIT_COLOURS["train"], style.SPLIT_COLOURS["test"]
    assert drawn == {(train, 0.0), (test, 0.1), (test, 0.2)}


def test_every_stream_has_a_line_of_its_own():
    table = pd.DataFrame({"seconds": [1, 10] * 3, "stream": np.repeat(["a", "b", "c"], 2), "rate": range(6)})
    ax = plots.rate(table)
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    assert [list(line.get_ydata()) for line in ax.lines] == [[0, 1], [2, 3], [4, 5]]


def test_codes_stand_below_their_sound():
    places = np.arange(4 * 50).reshape(4, 50)
    above, below = plots.codes(np.random.default_rng(1).normal(size=16000), places)
    (image,) = below.images
    assert np.array_equal(image.get_array(), places)
    left, right, bottom, top = image.get_extent()
    assert (left, right) == (0, 1.0) and (top, bottom) == (0.5, 4.5), "the first stage is the upper row"
    assert above.get_xlim() == below.get_xlim() == (0, 1.0)
