-- What differs once a loading was added, replaced or withdrawn, or a book was kept. Nothing of that is ever deleted, and a
-- loading is replaced by one that is added. It is asked for before every quote, so that it has to be cheap: no book is
-- read, and no loading but the last.
SELECT
    (SELECT row(number, content_hash, loaded_at)::text FROM price_loading ORDER BY number DESC LIMIT 1) AS latest,
    (SELECT count(*) FROM price_loading WHERE withdrawn_at IS NOT NULL) AS withdrawn,
    (SELECT count(*) FROM price_book) AS books
