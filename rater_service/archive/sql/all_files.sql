-- All files of archives, in the order of what is in them.
SELECT file.id, kind, year, archive, name, sha256, size, next_sha256, next_size, row_count, archived_at, archived_by,
    first_event_time, last_event_time
FROM archived_file AS file
LEFT JOIN pruned_event_range AS pruned ON pruned.id = file.range_id
ORDER BY archive, kind, year, first_event_time, file.id
