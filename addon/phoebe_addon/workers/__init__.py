"""`phoebe proxy`: several mitmdump processes with the addon behind one address, because one uses one core.

Begin with `supervisor`, which keeps them running. `worker_process` is one of them as the supervisor sees it,
`inside` the other end, in mitmdump. They talk over a `channel`. `addresses` binds what they listen on,
`merged_metrics` adds up what they count, `program` is the command line.
"""
