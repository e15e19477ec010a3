-- What a function that makes sums of events does, as its revision has written it; NULL: it is made for a distributed database
-- already.
-- :function: which, with the types of its arguments.
SELECT prosrc
FROM pg_proc
JOIN pg_language ON pg_language.oid = prolang
WHERE pg_proc.oid = to_regprocedure(:function::text) AND lanname = 'sql'
