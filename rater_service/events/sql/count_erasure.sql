-- Counts what an erasure has erased so far; :finished_at: now, once it is done.
-- :id: which erasure; :event_count, :rejected_count: how many more.
UPDATE erasure
SET event_count = event_count + :event_count,
    rejected_count = rejected_count + :rejected_count,
    finished_at = :finished_at
WHERE id = :id
