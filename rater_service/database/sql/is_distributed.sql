-- Whether the events are distributed over several servers; to be asked where the extension Citus is installed.
SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass('stored_event'))
