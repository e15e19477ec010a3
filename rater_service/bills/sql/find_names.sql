-- Names of customers, resources and models that were billed since a month and have a text in them, whatever the case of its
-- ASCII letters.
-- :since: the month, as its beginning in UTC; :text: what is looked for, in lower case; :limit: how many of each kind at most.
WITH named AS (
    SELECT DISTINCT auth_id, resource_id, model_id
    FROM rated_month
    WHERE month >= :since
), found AS (
    SELECT 'customer' AS kind, auth_id AS name FROM named WHERE strpos(lower(auth_id COLLATE "C"), :text) > 0
    UNION
    SELECT 'resource' AS kind, resource_id AS name FROM named WHERE strpos(lower(resource_id COLLATE "C"), :text) > 0
    UNION
    SELECT 'model' AS kind, model_id AS name FROM named WHERE strpos(lower(model_id COLLATE "C"), :text) > 0
)
SELECT kind, name
FROM (
    SELECT kind, name, row_number() OVER (PARTITION BY kind ORDER BY name) AS place
    FROM found
) AS placed
WHERE place <= :limit
ORDER BY kind, name
