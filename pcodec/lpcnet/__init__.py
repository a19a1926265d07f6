"""The paper's decoder, a sample at a time: network, examples, training, synthesis, adaptation, complexity."""
