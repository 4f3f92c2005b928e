"""From a configuration to a trained generator: guides, loss terms, training steps and early stopping."""
