"""Rating: a run turns the hourly sums of a window into rollups, and says what it could not bill.

Begin with `rating`, the run itself; its steps are the statements in `sql`. `run` is what is asked and
answered, `turn` the lock by which runs follow each other, `findings` the anomalies. Reading the bills is in
`bills`.
"""
