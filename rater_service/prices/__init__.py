"""Prices: the price file, the books that are kept of it, and which rate a model has at an hour.

Begin with `resolution` (which rate), then `file` (what a file may say) and `history` (which book is in
force). `store` keeps books, `watch` follows the file. What usage costs is multiplied in the database, by a
run of `rating`.
"""
