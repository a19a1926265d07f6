"""Figures without a screen, and what is left of them closed."""

import matplotlib
import matplotlib.pyplot as plt
import pytest

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def box():
    """Where something drawn lies in the figure, in pixels, as it is saved."""

    placed = set()

    def of(artist):
        if artist.figure not in placed:  # the layout is made when the figure is drawn
            artist.figure.canvas.draw()
            placed.add(artist.figure)
        return artist.get_window_extent()

    return of
