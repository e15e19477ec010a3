"""The spool: events on disk from their admission until the rater has answered for them.

Begin with `spool`, what the meter calls. `file` is one SQLite database, `folder` the place they share,
`opening` what happens at a start, `rescue` what is done with a damaged file by `salvage`. Who takes the
events is in `delivery`.
"""
