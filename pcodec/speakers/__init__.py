"""Who sounds like whom: voiceprints and their embedding, verification, C groups."""

UNKNOWN = 15  # in place of a group's index, while nobody can say: silence, the first second of a talk
