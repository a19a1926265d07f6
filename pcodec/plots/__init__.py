"""The figures: a tidy table in, a figure out."""

from pcodec.plots.training import *  # noqa: F403
