-- The loadings that can price a moment from :since on, in order, without the books: the one in force then and those after
-- it; before the first one is in force, all (NULL: all).
WITH standing AS (
    SELECT number, content_hash, source, loaded_at, loaded_by, db_role, in_force_from
    FROM every_price_loading
    WHERE replaced_by IS NULL AND withdrawn_at IS NULL
)
SELECT number, content_hash, source, loaded_at, loaded_by, db_role, in_force_from
FROM standing
WHERE number >= coalesce((
    SELECT max(number)
    FROM standing
    WHERE coalesce(in_force_from, '-infinity') <= :since), 0)
ORDER BY number
