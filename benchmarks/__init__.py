"""Benchmarks against other libraries, in an environment of their own: `make bench`."""
