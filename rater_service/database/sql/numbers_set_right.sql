-- Lets a sequence go on behind the highest number of its table.
-- {numbered}: the table, {number}: the column, {sequence}: the sequence.
SELECT setval('{sequence}', (SELECT max({number}) FROM {numbered}))
