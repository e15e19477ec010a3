"""The archive: events that were dropped from the database, and the books of closed years, as Parquet files in
a folder or in a bucket.

Begin with `files`, which knows which files there are and what the database keeps of each. `place` is where
files stand; `layout` says what a file of events looks like; `storing` gives one its name and proves it;
`reading` finds events in it, `sums` adds them up by key.
"""
