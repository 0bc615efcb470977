-- Meetings of users' own calendars that begin within $1 seconds, declined ones left out, without those that an event of type $2 announces already.
-- The id of that event depends on the user, the meeting and its start, so that a meeting in several calendars, or found by several hosts, is announced
-- once, and again after it was moved.
-- $3 pattern of the ids of shared calendars, $4 limit
SELECT m.announcement, m.user_id, m.stream_id, m.calendar_id, m.instance_id, m.event_id, m.starts, m.ends, m.raw::text
FROM (
  SELECT encode(substring(sha256(convert_to(concat_ws('/', $2, i.user_id, extract(epoch FROM i.starts)::bigint,
      coalesce(e.ical_uid, i.series_id, i.event_id)), 'UTF8')) FOR 16), 'hex')::uuid AS announcement,
    i.user_id, i.stream_id, s.resource AS calendar_id, i.instance_id, i.event_id, i.starts, i.ends, e.raw, c.is_primary
  -- Row by row: without statistics, the planner would read all events to find the few that begin soon.
  FROM (
    SELECT user_id, stream_id, instance_id, event_id, series_id, lower(during) AS starts, upper(during) AS ends FROM calendar_instances
    WHERE during && tstzrange(now(), now() + make_interval(secs => $1), '[]') AND lower(during) > now()
      AND NOT all_day AND response IS DISTINCT FROM 'declined' OFFSET 0) AS i
  CROSS JOIN LATERAL (SELECT FROM meetings WHERE stream_id = i.stream_id AND event_id = i.event_id AND event_status <> 'cancelled' OFFSET 0) AS meeting
  CROSS JOIN LATERAL (
    SELECT ical_uid, raw FROM calendar_events WHERE stream_id = i.stream_id AND event_id = i.event_id AND deleted_at IS NULL OFFSET 0) AS e
  -- What is stored of a calendar that is no longer polled is outdated.
  CROSS JOIN LATERAL (SELECT resource FROM streams WHERE id = i.stream_id AND state NOT IN ('off', 'removed', 'revoked') OFFSET 0) AS s
  -- The owner role alone is not enough: users who may share another user's primary calendar have it too.
  CROSS JOIN LATERAL (
    SELECT is_primary FROM calendars WHERE user_id = i.user_id AND calendar_id = s.resource
      AND (is_primary OR (access_role = 'owner' AND calendar_id LIKE $3)) OFFSET 0) AS c
) AS m
WHERE (SELECT o.id FROM outbox_events o WHERE o.id = m.announcement OFFSET 0) IS NULL
-- In the same order on all hosts: two that write the same events wait for each other, and do not block each other.
ORDER BY m.starts, m.announcement, m.is_primary DESC, m.stream_id
LIMIT $4
