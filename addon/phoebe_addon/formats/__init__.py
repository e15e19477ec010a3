"""Formats of bytes on the wire, read in bounded memory and in any pieces: event streams, lines of JSON,
members of a JSON document, forms, content codings. No API and no engine is known here.

Begin with `sse`, then `json_members` (a document that is there whole) and `json_skimmer` (one that comes in
pieces).
"""
