-- Keeps what a producer says of itself: one row for each producer, so that producers never wait for each other.
-- :producer_id: which producer; :first_seen and :last_seen: now; :last_seq: the last number it gave; :spooled_events:
-- events still in its spool after the batch this came with; :open_exchanges, :complete_until, :stopped: as it says;
-- :lost_rows: rows its spool lost; :clock_skew: its clock less the rater's; :name: what people call
-- its proxy, NULL: what they called it before; :version: of Phoebe, of what sent this, NULL: not known.
--
-- A producer that reconnects can be overtaken by itself: a batch it gave up may be committed after later ones. What
-- is older than what is known is left out, unless nothing newer came for longer than a batch can take; then the
-- producer really went back: its clock was set, or its spool comes from a backup. That a producer ended is believed
-- also by a clock that went back, if no number was given since: nothing will be said after it. Should a later start
-- have overtaken it, its next status, in seconds, says so.
INSERT INTO producer AS known
    (producer_id, first_seen, last_seen, last_seq, spooled_events, open_exchanges, complete_until, stopped, lost_rows,
     clock_skew, name, version)
VALUES
    (:producer_id, :first_seen, :last_seen, :last_seq, :spooled_events, :open_exchanges, :complete_until, :stopped,
     :lost_rows, :clock_skew, :name, :version)
ON CONFLICT (producer_id) DO UPDATE
SET last_seen = greatest(known.last_seen, EXCLUDED.last_seen),
    last_seq = EXCLUDED.last_seq,
    spooled_events = EXCLUDED.spooled_events,
    open_exchanges = EXCLUDED.open_exchanges,
    complete_until = EXCLUDED.complete_until,
    stopped = EXCLUDED.stopped,
    lost_rows = EXCLUDED.lost_rows,
    clock_skew = EXCLUDED.clock_skew,
    name = coalesce(EXCLUDED.name, known.name),
    version = EXCLUDED.version,
    retired = false
WHERE (EXCLUDED.last_seq, coalesce(EXCLUDED.complete_until, '-infinity'))
        >= (known.last_seq, coalesce(known.complete_until, '-infinity'))
    OR (EXCLUDED.stopped AND EXCLUDED.last_seq = known.last_seq)
    OR known.last_seen < EXCLUDED.last_seen - interval '2 minutes'
