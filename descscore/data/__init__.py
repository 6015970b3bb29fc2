"""Tables of pairs: one module a format, each reading rows as a stream."""
