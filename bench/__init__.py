"""Benchmarks: Phoebe and a reference side by side in one run. Start them with `make bench`."""
