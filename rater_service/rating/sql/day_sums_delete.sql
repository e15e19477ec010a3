-- Takes the sums of a day away, to make them again.
-- :day: its beginning.
DELETE FROM rated_day
WHERE day = :day
