-- Whether a table has rows with numbers that its sequence has yet to give.
-- {numbered}: the table, {number}: the column, {sequence}: the sequence.
SELECT coalesce((SELECT max({number}) FROM {numbered}) > CASE WHEN is_called THEN last_value ELSE last_value - 1 END, false)
FROM {sequence}
