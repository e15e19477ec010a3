-- Lets a sequence go on behind the highest number of its table, and behind where it was told to begin.
-- {numbered}: the table, {number}: the column, {sequence}: the sequence.
SELECT setval(
    '{sequence}',
    greatest((SELECT max({number}) FROM {numbered}), CASE WHEN is_called THEN last_value ELSE last_value - 1 END)
)
FROM {sequence}
