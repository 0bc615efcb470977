-- Meetings of users' own calendars that begin within $1 seconds, declined ones left out, without those that an event of type $2 announces already.
-- The id of that event depends on the user, the meeting and its start, so that a meeting in several calendars, or found by several hosts, is announced
-- once, and again after it was moved.
-- $3 pattern of the ids of shared calendars, $4 limit
SELECT m.announcement, m.user_id, m.stream_id, m.calendar_id, m.instance_id, m.event_id, m.starts, m.ends, m.raw::text
FROM (
  SELECT encode(substring(sha256(convert_to(concat_ws('/', $2, i.user_id, extract(epoch FROM lower(i.during))::bigint,
      coalesce(e.ical_uid, i.series_id, i.event_id)), 'UTF8')) FOR 16), 'hex')::uuid AS announcement,
    i.user_id, i.stream_id, s.resource AS calendar_id, i.instance_id, i.event_id, lower(i.during) AS starts, upper(i.during) AS ends, e.raw
  FROM calendar_instances i
  JOIN meetings m ON m.stream_id = i.stream_id AND m.event_id = i.event_id
  JOIN calendar_events e ON e.stream_id = i.stream_id AND e.event_id = i.event_id
  JOIN streams s ON s.id = i.stream_id
  JOIN calendars c ON c.user_id = i.user_id AND c.calendar_id = s.resource
  WHERE i.during && tstzrange(now(), now() + make_interval(secs => $1), '[]') AND lower(i.during) > now()
    AND lower(i.during) <= now() + make_interval(secs => $1) AND NOT i.all_day AND i.response IS DISTINCT FROM 'declined'
    AND m.event_status <> 'cancelled' AND e.deleted_at IS NULL
    -- What is stored of a calendar that is no longer polled is outdated.
    AND s.state NOT IN ('off', 'removed', 'revoked')
    -- The owner role alone is not enough: users who may share another user's primary calendar have it too.
    AND (c.is_primary OR (c.access_role = 'owner' AND c.calendar_id LIKE $3))
) AS m
WHERE NOT EXISTS (SELECT FROM outbox_events o WHERE o.id = m.announcement)
-- In the same order on all hosts: two that write the same events wait for each other, and do not block each other.
ORDER BY m.starts, m.announcement
LIMIT $4
