"""A decoder for LPCNet's packets, 40 samples at a time."""
