"""Tables of pairs: read as a stream, scored or explained, and written."""
