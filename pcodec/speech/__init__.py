"""Speech in files and tables: audio in and out, corpora and their splits, generated voices."""

SUFFIXES = (".wav", ".flac", ".ogg")  # of audio files that are written
READ = {".aac", ".aif", ".aiff", ".au", ".caf", ".m4a", ".mka", ".mp3", ".mp4", ".oga", ".opus", ".webm", ".wma"}
READ |= {*SUFFIXES}  # of those that are looked for in folders
