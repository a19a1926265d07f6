"""Codecs as a user holds them: this project's own, other people's, whole files."""

# Names of the shipped codecs that are used where none is asked for: for everybody, and to adapt to one person.
DEFAULT, ADAPTED = "framewise", "personalized"
