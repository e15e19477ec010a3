-- The producer that comes after another in the order of their ids, among those that report and those whose numbered
-- events are here, or were. Each minimum is the next entry of an index.
-- :after: the other's id; '' comes before all.
SELECT least(
    (SELECT min(producer_id) FROM producer WHERE producer_id > :after),
    (SELECT min(producer_id) FROM stored_event WHERE producer_seq IS NOT NULL AND producer_id > :after),
    (SELECT min(producer_id) FROM rejected_event WHERE producer_seq IS NOT NULL AND producer_id > :after),
    (SELECT min(producer_id) FROM pruned_number WHERE producer_id > :after))
