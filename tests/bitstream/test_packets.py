"""64-bit packets are the reference's; any eight bytes decode; fields lie where the specification puts them."""

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.bitstream import quantizer
from pcodec.bitstream.container import Stream
from pcodec.bitstream.packets import pack, unpack

PACKETS = ["7a201d4acf174b9c"] + 5 * ["7b54dd4acf175d61"]  # specification section 13


def test_reference_packets(test_vector, original_codebooks):
    coded = Stream.encode(test_vector, original_codebooks)
    assert [packet.tobytes().hex() for packet in coded.packets[:6]] == PACKETS
    assert unpack(coded.packets)[4].tolist() == [61, 42, 4, 3, 468, 691, 791, 2988, 1]


def test_any_eight_bytes_are_a_packet(codebooks):
    packets = np.random.default_rng(1).integers(0, 256, (5000, 8)).astype(np.uint8)
    fields = unpack(packets)
    assert np.array_equal(pack(fields), packets)
    decoded = quantizer.dequantize(fields, codebooks)
    assert np.isfinite(decoded).all()
    assert np.isfinite(features.lpc_from_cepstrum(decoded[:, :18])).all()


def test_fields_lie_in_the_specified_order():
    fields = np.array([[64 + 32 + 1, 33, 5, 2, 513, 2, 1023, 4097, 6]])
    bits = f"{97:07b}{33:06b}{5:03b}{2:02b}{513:010b}{2:010b}{1023:010b}{4097:013b}{6:03b}"
    assert pack(fields).tobytes().hex() == f"{int(bits, 2):016x}"
    with pytest.raises(PcodecError, match="c0 must fit 7 bits, got 128"):
        pack(np.array([[128, 0, 0, 0, 0, 0, 0, 0, 0]]))


def test_invariants_on_librispeech(librispeech, original_codebooks):
    """Two minutes: packets survive, level and pitch are decoded within half a step of what was measured."""
    paths = sorted((librispeech / "test-other").rglob("*.flac"))
    seconds, voiced_packets = 0.0, 0
    for path in paths[::5]:
        analysis = features.cached(path)
        fields = quantizer.quantize(analysis, original_codebooks)
        packets = pack(fields)
        assert np.array_equal(unpack(packets), fields)
        decoded = quantizer.dequantize(fields, original_codebooks)
        assert np.abs(decoded[3::4, 0] - analysis.features[3::4, 0]).max() <= 0.125 + 1e-5
        flat = (np.ptp(analysis.lags, axis=1) == 0) & (analysis.lags[:, 0] > 33) & (analysis.lags[:, 0] < 253)
        steps = 21 * np.log2((50 * decoded[1::4, 18] + 100) / analysis.lags[:, 0])
        assert (np.abs(steps[flat]) <= 0.5 + 1e-4).all()
        voiced = fields[:, 2] > 0
        assert np.abs(decoded[::4, 19] + 0.5 - analysis.correlation)[voiced].max() <= 0.0875 + 1e-5
        seconds += len(analysis.features) / 100
        voiced_packets += voiced.sum()
    assert seconds > 120 and voiced_packets > 500
