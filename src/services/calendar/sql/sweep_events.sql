-- Turns live events of a calendar that a complete pass over a window did not list into tombstones. Only events that must have been listed
-- count: single events inside the window, and the series known to reach into it. Events that this pass quarantined count as listed. Dates have
-- no time zone, hence a margin of one day at each edge.
-- $1 stream, $2 pass, $3 window start, $4 window end, $5 series
UPDATE calendar_events e
SET status = 'cancelled', deleted_at = now(), synced_at = now(), changed_xid = DEFAULT
WHERE e.stream_id = $1
  AND e.deleted_at IS NULL
  AND e.seen_pass IS DISTINCT FROM $2
  AND (e.event_id = ANY ($5) OR (
    NOT e.raw ? 'recurrence'
    AND coalesce(e.end_at, e.end_date::timestamp AT TIME ZONE 'UTC' - interval '1 day') > $3
    AND coalesce(e.start_at, e.start_date::timestamp AT TIME ZONE 'UTC' + interval '1 day') < $4))
  AND NOT EXISTS (SELECT 1 FROM quarantined_items q WHERE q.stream_id = e.stream_id AND q.item_id = e.event_id AND q.seen_pass = $2)
RETURNING e.event_id
