-- Every price file that was ever loaded, byte for byte, known by the hash of its content.
CREATE TABLE price_book (
    content_hash   text PRIMARY KEY,
    content        bytea NOT NULL,
    source         text NOT NULL,
    loaded_at      timestamptz NOT NULL,
    effective_from timestamptz,
    in_force_from  timestamptz,
    CONSTRAINT price_book_content_hash CHECK (content_hash = encode(sha256(content), 'hex')),
    CONSTRAINT price_book_no_empty_text CHECK (source <> '')
);
