-- Which hours were priced by a loading of a book (:content_hash) that is in force from :since (NULL: the beginning) until
-- :until (NULL: further notice), by the ledger: how many, the first and last of them, and the first run that did.
-- Hours before :since were, where their model was forgotten until then, by runs that knew of the loading, made at
-- :loaded_at; they are not looked at where an earlier loading of the book has priced them (:not_before).
SELECT count(DISTINCT change.window_start) AS hours, min(change.window_start) AS first_hour,
    max(change.window_start) AS last_hour, min(change.run) AS first_run
FROM rated_usage_change AS change
JOIN rating_run AS run ON run.id = change.run
WHERE change.new_price_book = :content_hash
    AND (:until::timestamptz IS NULL OR change.window_start < :until)
    AND (change.window_start >= coalesce(:since::timestamptz, '-infinity')
        OR NOT :not_before AND run.knowledge_at >= :loaded_at)
