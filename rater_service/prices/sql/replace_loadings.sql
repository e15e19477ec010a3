-- Notes that loadings whose hour has not come (:numbers) give way to a later one (:replaced_by).
UPDATE price_loading
SET replaced_by = :replaced_by
WHERE number = ANY (:numbers)
