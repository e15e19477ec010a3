"""Dropping old events without changing a bill: which may go, their archive, and the record that stays of
them.

Begin with `retention`, which decides; `drop` acts, `archive` writes the files and proves them.
"""
