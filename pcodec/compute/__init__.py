"""What the machine gives: torch and torchaudio as they are here, threads, vector instructions for Numba."""
