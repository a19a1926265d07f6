"""Speech in files and tables: audio in and out, corpora and their splits, generated voices."""

PCM = {"u8": "u1", "s16le": "<i2", "s16be": ">i2", "s32le": "<i4", "f32le": "<f4"}  # FFmpeg's names: NumPy's types
SUFFIXES = (".wav", ".flac", ".ogg")  # of audio files that are written
READ = {".aac", ".aif", ".aiff", ".au", ".caf", ".m4a", ".mka", ".mp3", ".mp4", ".oga", ".opus", ".webm", ".wma"}
READ |= {*SUFFIXES}  # of those that are looked for in folders
