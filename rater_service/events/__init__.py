"""Metering events: checked, stored once each, summed by the hour, kept in weekly partitions; and their
producers.

Begin with `store`. `validation` says which events are refused, `rejected` keeps those, `producers` what
each addon's spool says of itself. Dropping old events is in `retention`.
"""
