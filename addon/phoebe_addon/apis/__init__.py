"""The APIs that engines speak, as facts: how each asks for usage, where each reports it, what its errors
look like.

Begin with `family`, then look at a module of `families`. `engines` says what each engine can and echoes,
`usage` how statements of usage become counts. Reading the bytes is done in `formats`, following an answer
in `answer`.
"""
