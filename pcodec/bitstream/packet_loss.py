"""Packets that get lost: a simulated network.

Task: which packets of a stream do not arrive, so that concealment can be heard and measured.

Conventions: seeded. Notebook 08_synthesis.

Contents: `lost_packets`.
"""

import numpy as np

from pcodec import PcodecError


def lost_packets(packets: int, share: float, burst: float = 1.0, seed: int = 1) -> np.ndarray:
    """Which of so many packets are lost, (packets,) bool: a `share` of them, in bursts of `burst` packets on average.

    Gilbert's model (1960) of two states: each packet is lost or not, and the state changes with probabilities that give
    the share and the mean length of a burst. Independent losses have bursts of 1 / (1 - share), the shortest there are.
    """
    if not 0 <= share < 1 or burst < 1:
        raise PcodecError(f"of packets a share from 0 to under 1 is lost, in bursts of 1 or more; got {share}, {burst}")
    leave = 1 / max(burst, 1 / (1 - share))  # the probability that a burst ends
    enter = leave * share / (1 - share)
    draws = np.random.default_rng(seed).random(packets)
    lost, state = np.zeros(packets, bool), False
    for number, draw in enumerate(draws):
        state = draw >= leave if state else draw < enter
        lost[number] = state
    return lost
