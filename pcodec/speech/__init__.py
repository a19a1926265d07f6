"""Speech in files and tables: audio in and out, corpora and their splits, generated voices."""

SUFFIXES = (".wav", ".flac", ".ogg")  # of audio files that are read and written
