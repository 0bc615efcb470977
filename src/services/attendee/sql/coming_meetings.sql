-- Meetings between $1 and $2 whose users want bots, or whose attendees may include a virtual address, which begins with $3.
-- A calendar is the user's own if it is the primary one, or a secondary calendar ($4) that the user owns. The owner role alone is not enough:
-- users who may share another user's primary calendar have it too.
SELECT m.id, m.stream_id, m.event_id, m.user_id, m.title, m.link, m.link_kind, m.start_at, coalesce(m.end_at, m.start_at), e.time_zone,
  e.recurring_event_id, e.original_start_at, e.raw -> 'recurrence', e.raw -> 'attendees', u.settings @> '{"attendee": true}',
  u.settings ->> 'attendee_project', e.raw -> 'start' ->> 'dateTime', coalesce(e.ical_uid, e.recurring_event_id, e.event_id),
  coalesce(c.is_primary OR (c.access_role = 'owner' AND c.calendar_id LIKE $4), false), e.raw -> 'organizer', e.raw -> 'creator' ->> 'email',
  lower(u.email)
FROM meetings m JOIN calendar_events e USING (stream_id, event_id) JOIN users u ON u.id = m.user_id JOIN streams s ON s.id = m.stream_id
  LEFT JOIN calendars c ON c.user_id = m.user_id AND c.calendar_id = s.resource
-- The stored events of a calendar that is switched off are outdated.
WHERE s.state <> 'off' AND m.event_status <> 'cancelled' AND e.deleted_at IS NULL
  AND ((m.is_series AND m.start_at < $2) OR (m.start_at > $1 - interval '1 day' AND m.start_at < $2 AND m.end_at > $1))
  AND (u.settings @> '{"attendee": true}' OR strpos(lower(e.raw ->> 'attendees'), $3) > 0)
