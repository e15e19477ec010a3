"""Dropping old events without changing a bill: which may go, their archive, and the record that stays of
them.

Begin with `retention`, which decides; `drop` acts, `archiving` writes the archive and proves it,
`csv_export` writes CSV.
"""
