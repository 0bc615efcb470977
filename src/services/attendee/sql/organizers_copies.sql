-- The copies of events ($2) in the primary calendars of their organizers ($1, addresses in lower case), and exceptions of series between $3 and $4.
WITH requested AS (
  SELECT DISTINCT s.id AS stream_id, t.organizer, t.event_id
  FROM unnest($1::text[], $2::text[]) AS t (organizer, event_id)
  JOIN users u ON lower(u.email) = t.organizer
  JOIN calendars c ON c.user_id = u.id AND c.is_primary AND c.deleted_at IS NULL
  -- Calendars that are no longer followed are outdated.
  JOIN streams s ON s.user_id = u.id AND s.resource = c.calendar_id AND s.state IN ('active', 'degraded')
)
SELECT coalesce(e.ical_uid, e.recurring_event_id, e.event_id), a.organizer, CASE WHEN e.recurring_event_id IS NOT NULL THEN e.original_start_at END,
  e.summary, e.raw -> 'attendees'
FROM requested a JOIN calendar_events e ON e.stream_id = a.stream_id AND e.event_id = a.event_id
WHERE e.deleted_at IS NULL AND lower(e.organizer) = a.organizer
UNION ALL
SELECT coalesce(e.ical_uid, e.recurring_event_id, e.event_id), a.organizer, e.original_start_at, e.summary, e.raw -> 'attendees'
FROM requested a JOIN calendar_events e ON e.stream_id = a.stream_id AND e.recurring_event_id = a.event_id
WHERE e.deleted_at IS NULL AND lower(e.organizer) = a.organizer AND e.original_start_at BETWEEN $3 AND $4
