-- Takes the sums by the day of a model away, to make them again.
-- :first_month, :end_month: those of these months, as moments at which months of UTC begin, the end exclusive.
DELETE FROM rated_model_day
WHERE day >= :first_month AND day < :end_month
