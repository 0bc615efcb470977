-- The changes since $1 of each calendar, in order. Only the last change of each event is known.
SELECT array_agg(e.updated ORDER BY e.updated) FILTER (WHERE e.updated >= $1 AND e.updated < now())
FROM streams s LEFT JOIN calendar_events e ON e.stream_id = s.id
WHERE s.service = 'calendar' AND s.kind = 'events' AND s.state <> 'removed'
GROUP BY s.id ORDER BY s.id
