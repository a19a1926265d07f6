"""What is said and how it sounds, in two streams of tokens below 700 b/s, and a diffusion decoder."""
