"""A decoder for LPCNet's packets that writes 40 samples at a time: network, examples, training, synthesis; no codec has it yet."""
