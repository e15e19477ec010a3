-- Takes the sums by the month away, to make them again.
-- :first_month, :end_month: those of these months, as moments at which months of UTC begin, the end exclusive.
DELETE FROM rated_month
WHERE month >= :first_month AND month < :end_month
