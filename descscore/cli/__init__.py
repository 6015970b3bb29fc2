"""The command line: each module parses, calls one function and prints; torch is imported inside."""
