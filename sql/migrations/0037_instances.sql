-- The times at which events take place: single events, and each occurrence of a series in a rolling window (see calendar_windows).
-- No foreign keys: whoever writes a page holds the stream's row.
CREATE TABLE calendar_instances (
  user_id uuid NOT NULL,
  stream_id bigint NOT NULL,
  -- As Google names it: the event's id, or that of the series with the original start (abc_20260316T080000Z, abc_20260316).
  -- Collation "C": all occurrences of a series are one range of the index.
  instance_id text COLLATE "C" NOT NULL,
  -- The row of calendar_events that it takes its data from: the series, the exception, or the single event.
  event_id text NOT NULL,
  -- The series, also of an exception. NULL: a single event.
  series_id text,
  -- Upper end exclusive, unless it takes no time. An all-day event lasts from midnight to midnight in its calendar's time zone.
  during tstzrange NOT NULL,
  all_day boolean NOT NULL,
  start_date date,
  end_date date,
  -- It blocks its owner's time: neither shown as free nor declined.
  busy boolean NOT NULL,
  -- The owner's response: needsAction, declined, tentative, accepted. NULL: not invited, which is so for one's own events without guests.
  response text,
  title text,
  PRIMARY KEY (user_id, stream_id, instance_id)
);
CREATE INDEX calendar_instances_during ON calendar_instances USING gist (during);

-- The span of each calendar's occurrences in calendar_instances.
CREATE TABLE calendar_windows (
  stream_id bigint PRIMARY KEY,
  user_id uuid NOT NULL,
  -- NULL: they have not been computed yet.
  covered tstzrange,
  -- The window of the last complete pass: Google has listed all events in it, and reports their changes. Others may be missing. NULL: no pass has
  -- ended since there are instances.
  listed tstzrange,
  -- Time zone of all-day events, as of calendars.time_zone.
  time_zone text,
  -- Instances are being computed for all events, in the order of their ids: done up to this one. NULL: complete.
  rebuilt_to text
);

-- An exception that cancels one occurrence. The tombstone of an exception that is no longer listed does not.
CREATE INDEX calendar_events_series ON calendar_events (stream_id) WHERE deleted_at IS NULL AND raw ? 'recurrence';
CREATE INDEX calendar_events_exceptions ON calendar_events (stream_id, recurring_event_id) WHERE recurring_event_id IS NOT NULL;
ALTER TABLE calendar_events ADD COLUMN cancels_occurrence boolean NOT NULL DEFAULT false;
UPDATE calendar_events SET cancels_occurrence = true WHERE deleted_at IS NOT NULL AND recurring_event_id IS NOT NULL;

CREATE OR REPLACE FUNCTION syncctl_forget_calendar() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM meetings WHERE stream_id = OLD.id;
  DELETE FROM calendar_instances WHERE user_id = OLD.user_id AND stream_id = OLD.id;
  DELETE FROM calendar_windows WHERE stream_id = OLD.id;
  DELETE FROM calendar_events WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;

-- What each user's calendars show, with the details of the event.
CREATE VIEW my_agenda AS
SELECT i.user_id, u.email, c.calendar_id, c.summary AS calendar, i.stream_id, i.instance_id, i.event_id, i.series_id, i.during,
  lower(i.during) AS start_at, upper(i.during) AS end_at, i.all_day, i.start_date, i.end_date, i.title, i.busy, i.response, e.status, e.event_type,
  e.organizer, e.attendees_count, e.raw ->> 'location' AS location, e.raw ->> 'hangoutLink' AS meet_link, e.raw ->> 'htmlLink' AS html_link
FROM calendar_instances i
JOIN calendar_events e ON e.stream_id = i.stream_id AND e.event_id = i.event_id
JOIN calendars c ON c.user_id = i.user_id AND c.calendar_id = e.calendar_id
JOIN users u ON u.id = i.user_id;

-- When users are not free: the events of their primary calendars that are neither shown as free nor declined. The spans can overlap.
CREATE VIEW busy AS
SELECT i.user_id, u.email, i.stream_id, i.instance_id, i.during, i.all_day, i.title, i.response
FROM calendar_instances i
JOIN streams s ON s.id = i.stream_id
JOIN calendars c ON c.user_id = i.user_id AND c.calendar_id = s.resource
JOIN users u ON u.id = i.user_id
WHERE i.busy AND c.is_primary;

-- The people of each occurrence, one row each, as the event of this user lists them. The same meeting is in the calendar of each of its attendees:
-- count distinct (ical_uid, original_start).
CREATE VIEW meeting_attendees AS
SELECT i.user_id, i.stream_id, i.instance_id, i.event_id, e.ical_uid,
  coalesce(e.original_start_at, lower(i.during)) AS original_start, i.during, i.all_day, lower(a ->> 'email') AS email,
  a ->> 'displayName' AS name, a ->> 'responseStatus' AS response, coalesce(a -> 'self' = 'true', false) AS is_self,
  coalesce(a -> 'organizer' = 'true', false) AS is_organizer, coalesce(a -> 'optional' = 'true', false) AS is_optional,
  coalesce(a -> 'resource' = 'true', false) AS is_room
FROM calendar_instances i
JOIN calendar_events e ON e.stream_id = i.stream_id AND e.event_id = i.event_id
CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(e.raw -> 'attendees') WHEN 'array' THEN e.raw -> 'attendees' ELSE '[]' END) AS a;

-- Whoever reads a view needs the rights on its tables. PostgreSQL 14 has no such option.
DO $$
BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW my_agenda SET (security_invoker = true);
    ALTER VIEW busy SET (security_invoker = true);
    ALTER VIEW meeting_attendees SET (security_invoker = true);
  END IF;
END
$$;
