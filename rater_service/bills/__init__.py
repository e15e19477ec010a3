"""Reading bills: rollups as they are and as they were, reports, exports, and the explanation of one rollup.

Begin with `rollups`. Nothing here changes anything.
"""
