"""Speech in files and tables: audio in and out, corpora and their splits, generated voices."""
