"""Pretraining of small CLIPs."""
