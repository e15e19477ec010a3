"""`phoebe deliver`: brings to the rater what is left in the spools of a proxy that will not come back.

`command` is its command line; `emptying` delivers, spool by spool, by the addon's own delivery.
"""
