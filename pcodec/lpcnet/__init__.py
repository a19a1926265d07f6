"""The paper's decoder, a sample at a time: network, examples, training, synthesis, adaptation to one person, complexity."""
