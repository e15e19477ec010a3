-- Notes what became of events that were kept aside.
-- :ids: which; of each :fates: what it counts as from now on ('STORED' and 'DUPLICATE' settle it), and :reasons: why;
-- :resolved_at: now.
UPDATE rejected_event
SET kind = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN kind ELSE tried.fate END,
    reason = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN rejected_event.reason ELSE tried.reason END,
    resolved_at = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN :resolved_at::timestamptz END,
    resolved_as = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN tried.fate END
FROM unnest(:ids::bigint[], :fates::text[], :reasons::text[]) AS tried (id, fate, reason)
WHERE rejected_event.id = tried.id
