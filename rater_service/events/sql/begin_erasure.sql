-- Keeps that an erasure begins. The arguments have the names of the columns.
INSERT INTO erasure (chosen_by, erased_by, erased_at)
VALUES (:chosen_by, :erased_by, :erased_at)
RETURNING id
