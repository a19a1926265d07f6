"""Simulated losses have the share and the bursts that were asked for."""

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.bitstream.packet_loss import lost_packets


@pytest.mark.parametrize(("share", "burst"), [(0.01, 1.0), (0.1, 1.0), (0.1, 4.0), (0.5, 2.0), (0.3, 10.0)])
def test_share_and_bursts(share, burst):
    lost = lost_packets(400_000, share, burst)
    starts = lost[1:] & ~lost[:-1]
    assert lost.mean() == pytest.approx(share, rel=0.05)
    assert lost.sum() / starts.sum() == pytest.approx(max(burst, 1 / (1 - share)), rel=0.05)
    if burst == 1.0:  # independent: a packet says nothing about the next one
        assert lost[1:][lost[:-1]].mean() == pytest.approx(share, abs=0.006)


def test_seeds_and_refusals():
    assert np.array_equal(lost_packets(99, 0.3, seed=2), lost_packets(99, 0.3, seed=2))
    assert not np.array_equal(lost_packets(99, 0.3, seed=2), lost_packets(99, 0.3, seed=3))
    assert not lost_packets(99, 0.0).any()
    for share, burst in ((-0.1, 1), (1.0, 1), (0.1, 0.5)):
        with pytest.raises(PcodecError, match="of packets a share from 0"):
            lost_packets(9, share, burst)
