"""Delivery: brings events from a spool to the rater, and says when that fails.

Begin with `delivery`. `adoption` delivers what other processes left in the folder, `credentials` are what
the rater is shown, `trouble` is what is logged while it can't be reached.
"""
