"""The database itself: connections, the embedded server, the schema's version, long statements.

Begin with `database`. Statements stand in the folder `sql` of the package that sends them; the schema is
made by the migrations.
"""
