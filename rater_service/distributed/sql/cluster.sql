-- What the extension Citus knows of the servers of a database, and whether its events are distributed over them.
SELECT
    citus_is_coordinator() AS is_coordinator,
    (SELECT count(*) FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards) AS workers,
    EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'stored_event'::regclass) AS is_distributed
