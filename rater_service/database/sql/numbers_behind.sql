-- Whether a table has rows with numbers that its sequence has yet to give. What a sequence gave last is asked in a way
-- that the right to take numbers is enough for. One that has given none is behind, wherever it was told to begin.
-- {numbered}: the table, {number}: the column, {sequence}: the sequence.
SELECT coalesce(max({number}) > coalesce(pg_sequence_last_value('{sequence}'), min({number}) - 1), false)
FROM {numbered}
