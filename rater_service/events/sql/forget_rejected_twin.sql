-- Takes away an event that was kept aside, of which another copy is kept that differs in nothing but what was erased.
-- :id: which.
DELETE FROM rejected_event
WHERE id = :id
