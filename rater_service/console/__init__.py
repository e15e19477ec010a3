"""The console: read-only pages on bills, prices, producers and runs, on a port of its own.

`app` has the pages by path, and what every answer has; `serving` the port; `access` who gets in. A page is a
function from a `View`, which says what was asked for, to a `Page`: a template with what it shows, and tables,
each of which can also be had as CSV and as JSON. Figures come from the functions that commands use.
"""
