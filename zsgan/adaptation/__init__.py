"""From a configuration to a trained generator: guides, the terms of the loss, the steps, when to stop."""
