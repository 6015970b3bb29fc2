"""Explanations as HTML, as a picture and in a terminal."""
