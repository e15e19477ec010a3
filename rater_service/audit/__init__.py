"""The audit: proves that what was admitted was stored, and that what was stored was billed.

Begin with `audit`. `numbers` counts each producer's numbers, `bills` compares events, sums, rollups and
runs, `findings` is what was found. It changes nothing.
"""
