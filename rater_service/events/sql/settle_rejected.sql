-- Notes what became of events that were kept aside.
-- $1: ids, $2: what they count as from now on ('STORED' and 'DUPLICATE' settle them), $3: reasons, $4: now.
UPDATE rejected_event
SET kind = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN kind ELSE tried.fate END,
    reason = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN rejected_event.reason ELSE tried.reason END,
    resolved_at = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN $4::timestamptz END,
    resolved_as = CASE WHEN tried.fate IN ('STORED', 'DUPLICATE') THEN tried.fate END
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS tried (id, fate, reason)
WHERE rejected_event.id = tried.id
