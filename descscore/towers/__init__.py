"""The only room that knows model classes."""
