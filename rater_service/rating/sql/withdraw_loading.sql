-- Takes a loading back.
-- :number: which; :withdrawn_at, :withdrawn_by: when, and who it was.
UPDATE price_loading
SET withdrawn_at = :withdrawn_at, withdrawn_by = :withdrawn_by, withdrawn_role = session_user
WHERE number = :number
