"""A study: every run trained, measured, selected, and reported beside what the paper printed."""
