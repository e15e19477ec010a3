-- One page of rated usage, in the order of rollups, after the rollup of the page before.
-- $1: from this hour, $2: before this hour, $3: auth_id, $4: resource_id, $5 to $8: the key of the last rollup
-- seen, $9: how many rows. NULL means no such condition; planned with the values at hand, such a condition
-- disappears, and what is left is answered from one index in page order.
SELECT *
FROM rated_usage
WHERE ($1::timestamptz IS NULL OR window_start >= $1)
    AND ($2::timestamptz IS NULL OR window_start < $2)
    AND ($3::text IS NULL OR auth_id = $3)
    AND ($4::text IS NULL OR resource_id = $4)
    AND ($5::timestamptz IS NULL OR (window_start, auth_id, resource_id, model_id) > ($5, $6::text, $7::text, $8::text))
ORDER BY window_start, auth_id, resource_id, model_id
LIMIT $9
