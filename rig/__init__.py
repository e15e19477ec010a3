"""Real programs on one machine, started, watched and ended: what demo, bench, chaos and tests are made on.

Begin with `processes`. `programs` has the command lines, `postgres` servers with data of their own, and
`chat_answers` the bytes that toy engines answer with. Nothing here is part of Phoebe.
"""
