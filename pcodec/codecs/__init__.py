"""Codecs as a user holds them: this project's own, other people's, whole files."""
