"""A study: every run trained, measured, selected, and told beside what the paper printed."""
