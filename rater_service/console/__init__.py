"""The console: read-only pages on bills, prices, producers and runs, on a port of its own.

`app` puts it together: `page_list` has the pages by path, `json_calls` the calls of programs, `sign_in` and
`access` who gets in, `guard` what every answer carries, `rendering` HTML and `downloads` files; `serving` has
the port. A page is a function from a `View`, which says what was asked for, to a `Page`: a template with what
it shows, and tables, each of which can also be had as CSV and as JSON. Figures come from the functions that
commands use.
"""
