"""Training of descscore's checkpoints."""
