"""Reads an engine's answer on its way to the client: model, usage, how it ended; takes out what only Phoebe
asked for.

Begin with `body`, which takes the bytes. It hands documents to `reader`, which keeps the books in
`usage_ledger`. Pure: bytes in, bytes and facts out.
"""
