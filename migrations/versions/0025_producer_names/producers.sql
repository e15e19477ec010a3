-- What people call the proxy; NULL: it never said. Several producers may have one name.
ALTER TABLE producer ADD COLUMN name text CHECK (name <> '');
