"""The pages, by what they are about: `money`, `proof`, `running` and `price_books`."""
