"""Learned end to end: encoder, residual vector quantizer and decoder, and personalized ones for groups of speakers."""
