-- When price books were loaded and from when they are in force, without the books.
-- :since: only those that can price a moment from then on, which are the one in force then and all later ones; before the
-- first one is in force, all (NULL: all).
SELECT content_hash, source, loaded_at, in_force_from
FROM price_book
WHERE coalesce(in_force_from, '-infinity') >= coalesce((
    SELECT max(coalesce(in_force_from, '-infinity'))
    FROM price_book
    WHERE coalesce(in_force_from, '-infinity') <= :since), '-infinity')
