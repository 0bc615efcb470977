-- Single live events that are certainly inside a window, by the rules of sweep_events.sql.
-- $1 stream, $2 ids, $3 window start, $4 window end
SELECT e.event_id
FROM calendar_events e
WHERE e.stream_id = $1
  AND e.event_id = ANY ($2)
  AND e.deleted_at IS NULL
  AND NOT e.raw ? 'recurrence'
  AND coalesce(e.end_at, e.end_date::timestamp AT TIME ZONE 'UTC' - interval '1 day') > $3
  AND coalesce(e.start_at, e.start_date::timestamp AT TIME ZONE 'UTC' + interval '1 day') < $4
