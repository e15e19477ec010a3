"""Spans of exchanges. Nothing here is imported unless tracing is turned on.

Begin with `exchanges`.
"""
