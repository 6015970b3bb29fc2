"""Pairs of descriptions and captions to train on."""
