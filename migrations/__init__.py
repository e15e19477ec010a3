"""The database schema, as Alembic migrations; nothing else creates or changes tables."""
