-- Says how wide partitions are that are made from now on.
-- :width: 'day' or 'week'; :set_by: who says so.
INSERT INTO partition_width (width, set_by)
VALUES (:width, :set_by)
