-- Keeps where the rows of a table of a year are; what had the name before is replaced.
-- :kind: the table; :year: the year; :archive, :name: where; :sha256, :size, :row_count: what is in the file;
-- :archived_by: who; :archived_at: now.
INSERT INTO archived_file (kind, year, archive, name, sha256, size, row_count, archived_by, archived_at)
VALUES (:kind, :year, :archive, :name, :sha256, :size, :row_count, :archived_by, :archived_at)
ON CONFLICT (archive, name) DO UPDATE
SET sha256 = EXCLUDED.sha256,
    size = EXCLUDED.size,
    row_count = EXCLUDED.row_count,
    archived_by = EXCLUDED.archived_by,
    archived_at = EXCLUDED.archived_at
