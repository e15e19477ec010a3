-- In which count of a run the usage of a key is that could be billed: 'unpriced', whether or not there is a price;
-- 'ambiguous_base' or 'tokens_out_of_range'. No row: there are no sums of it.
-- {categories}: see rating/categories.sql, which has arguments of its own; :auth_id, :resource_id, :model_id: the rest of
-- the key.
SELECT category
FROM (
{categories}
) AS category
WHERE auth_id = :auth_id AND resource_id = :resource_id AND model_id = :model_id
    AND category IN ('unpriced', 'ambiguous_base', 'tokens_out_of_range')
LIMIT 1
