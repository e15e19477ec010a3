-- Takes away sums of an hour that stand in some slots, all of which are held. For merge_slots.sql.
-- :hour: the hour; :slots: from which slots; :limit: how many rows at most. A row of a table that inherits may have the same
-- ctid as another.
DELETE FROM ONLY hourly_usage
WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM ONLY hourly_usage
        WHERE window_start = :hour AND slot > 0 AND slot = ANY (:slots::integer[])
        LIMIT :limit))
RETURNING *
