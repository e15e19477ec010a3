-- Makes the database another installation. Returns what it was; NULL: none, because its row was deleted.
-- :id: the new id; NULL: one that nobody had. :set_by: who says so.
INSERT INTO installation (id, set_by)
SELECT coalesce(:id::uuid, gen_random_uuid()) AS id, :set_by AS set_by
RETURNING (SELECT known.id FROM installation AS known) AS before, id
