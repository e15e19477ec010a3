"""How the command line shows what was found: tables and sentences for people, JSON for programs.

Begin with `terminal`, which writes. There is one module a subject: `show_…` writes to the terminal, `…_json`
makes what `--json` writes. Nothing here reads options, the database or files; that is `cli`.
"""
