-- Keeps where events are that are dropped in the same transaction.
-- :range_id: which; :archive, :name: where; :sha256, :size: of the file; :archived_by: who; :archived_at: now.
INSERT INTO archived_file (kind, range_id, archive, name, sha256, size, row_count, archived_by, archived_at)
SELECT
    'events' AS kind, id AS range_id, :archive AS archive, :name AS name, :sha256 AS sha256, :size AS size,
    event_count AS row_count, :archived_by AS archived_by, :archived_at AS archived_at
FROM pruned_event_range
WHERE id = :range_id
