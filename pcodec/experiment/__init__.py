"""Experiments: presets, the grid of trainings, running a notebook, the tables of the documents."""
