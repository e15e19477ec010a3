"""The name under which usage of models is summed that are too many to have sums of their own."""

OTHER_MODELS = "(other models)"
"""A price file can't name it, so what is summed under it is never billed. The sums' functions, which the
migrations make, write it too.
"""
