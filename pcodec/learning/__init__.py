"""What every family trains with: one loop, its checkpoints and optimizers, one file format for weights."""
