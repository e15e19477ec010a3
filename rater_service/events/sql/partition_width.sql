-- How wide new partitions are: 'day' or 'week'; no row: nobody ever said.
SELECT width
FROM partition_width
ORDER BY id DESC
LIMIT 1
