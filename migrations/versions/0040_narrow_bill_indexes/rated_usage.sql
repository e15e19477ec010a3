-- In the indexes that are left each name and hour stands once, with the places of all its rollups. The readers are as before
-- the pages of ListRatedUsage for one auth_id or one resource_id: those of an hour are sorted when they are read.
DROP INDEX rated_usage_auth;
DROP INDEX rated_usage_resource;
