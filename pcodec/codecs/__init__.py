"""Codecs as a user holds them: this project's own, other people's, whole files."""

DEFAULT = "framewise"  # name of the shipped codec that is used where none is asked for
