"""Captioning benchmarks, each read from the files that its authors distribute."""
