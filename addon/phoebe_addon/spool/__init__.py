"""The spool: events on disk from their admission until the rater has answered for them.

Begin with `spool`, what the meter calls. `spools` says which of a folder's spools a process has, and whose
they are. `file` is one SQLite database, `folder` the place they share, `opening` what happens at a start,
`replacement` how a damaged file gives way to a new one, `salvage` what is read of it. Who takes the events is
in `delivery`.
"""
