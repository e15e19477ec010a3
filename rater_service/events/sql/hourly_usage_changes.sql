-- What has to be added to the sums of an hour, or taken from them, so that they agree with the events; ends with its
-- transaction. The columns are those of the sums, which here may be below zero.
CREATE TEMP TABLE hourly_usage_change (LIKE hourly_usage INCLUDING DEFAULTS) ON COMMIT DROP
