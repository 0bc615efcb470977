-- More columns, each after those that a view had: PostgreSQL replaces a view in place, with its rights, only if its columns stay.
-- A view that was dropped by hand is created anew. What somebody created under its name stays, and the comments name it.
-- Replacing a view resets its options, so security_invoker is set again: a reader of a view needs the rights on its tables. PostgreSQL 14 has no
-- such option.

DO $$
BEGIN
  CREATE OR REPLACE VIEW my_agenda AS
  SELECT i.user_id, u.email, c.calendar_id, c.summary AS calendar, i.stream_id, i.instance_id, i.event_id, i.series_id, i.during,
    lower(i.during) AS start_at, upper(i.during) AS end_at, i.all_day, i.start_date, i.end_date, i.title, i.busy, i.response, e.status, e.event_type,
    e.organizer, e.attendees_count, e.raw ->> 'location' AS location, e.raw ->> 'hangoutLink' AS meet_link, e.raw ->> 'htmlLink' AS html_link,
    c.is_primary, e.ical_uid
  FROM calendar_instances i
  JOIN calendar_events e ON e.stream_id = i.stream_id AND e.event_id = i.event_id
  JOIN calendars c ON c.user_id = i.user_id AND c.calendar_id = e.calendar_id
  JOIN users u ON u.id = i.user_id;
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW my_agenda SET (security_invoker = true);
  END IF;
EXCEPTION WHEN wrong_object_type OR invalid_table_definition OR insufficient_privilege THEN
  RAISE NOTICE 'view my_agenda is not replaced: %', SQLERRM;
END
$$;

-- An event that ends when it begins takes no time.
DO $$
BEGIN
  CREATE OR REPLACE VIEW busy AS
  SELECT i.user_id, u.email, i.stream_id, i.instance_id, i.during, i.all_day, i.title, i.response, i.event_id, i.series_id
  FROM calendar_instances i
  JOIN streams s ON s.id = i.stream_id
  JOIN calendars c ON c.user_id = i.user_id AND c.calendar_id = s.resource
  JOIN users u ON u.id = i.user_id
  WHERE i.busy AND c.is_primary AND lower(i.during) < upper(i.during);
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW busy SET (security_invoker = true);
  END IF;
EXCEPTION WHEN wrong_object_type OR invalid_table_definition OR insufficient_privilege THEN
  RAISE NOTICE 'view busy is not replaced: %', SQLERRM;
END
$$;

-- The address is a subquery, because two of these views joined would otherwise exceed join_collapse_limit (8 tables).
DO $$
BEGIN
  CREATE OR REPLACE VIEW meeting_attendees AS
  SELECT i.user_id, i.stream_id, i.instance_id, i.event_id, e.ical_uid,
    coalesce(e.original_start_at, lower(i.during)) AS original_start, i.during, i.all_day, lower(a ->> 'email') AS email,
    a ->> 'displayName' AS name, a ->> 'responseStatus' AS response, coalesce(a -> 'self' = 'true', false) AS is_self,
    coalesce(a -> 'organizer' = 'true', false) AS is_organizer, coalesce(a -> 'optional' = 'true', false) AS is_optional,
    coalesce(a -> 'resource' = 'true', false) AS is_room, i.title,
    (SELECT u.email FROM users u WHERE u.id = i.user_id) AS user_email
  FROM calendar_instances i
  JOIN calendar_events e ON e.stream_id = i.stream_id AND e.event_id = i.event_id
  CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(e.raw -> 'attendees') WHEN 'array' THEN e.raw -> 'attendees' ELSE '[]' END) AS a;
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW meeting_attendees SET (security_invoker = true);
  END IF;
EXCEPTION WHEN wrong_object_type OR invalid_table_definition OR insufficient_privilege THEN
  RAISE NOTICE 'view meeting_attendees is not replaced: %', SQLERRM;
END
$$;

DO $$
BEGIN
  CREATE OR REPLACE VIEW gmail_messages_by_label AS
  SELECT m.user_id, u.email, coalesce(l.name, l.label_id) AS label, l.label_id, l.kind AS label_kind, m.stream_id, m.message_id, m.thread_id,
    m.received_at, m.from_address, m.from_name, m.subject, m.snippet, m.unread, m.labels
  FROM gmail_messages m
  JOIN gmail_labels l ON l.stream_id = m.stream_id AND l.label_id = ANY (m.labels)
  JOIN users u ON u.id = m.user_id
  WHERE m.deleted_at IS NULL AND l.deleted_at IS NULL;
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW gmail_messages_by_label SET (security_invoker = true);
  END IF;
EXCEPTION WHEN wrong_object_type OR invalid_table_definition OR insufficient_privilege THEN
  RAISE NOTICE 'view gmail_messages_by_label is not replaced: %', SQLERRM;
END
$$;

DO $$
BEGIN
  CREATE OR REPLACE VIEW gmail_threads AS
  SELECT m.user_id, u.email, m.stream_id, m.thread_id, (array_agg(m.subject ORDER BY m.received_at, m.message_id))[1] AS subject,
    min(m.received_at) AS first_at, max(m.received_at) AS last_at, count(*) AS messages, count(*) FILTER (WHERE m.unread) AS unread,
    (array_agg(m.from_address ORDER BY m.received_at DESC, m.message_id DESC))[1] AS last_from_address,
    (array_agg(m.from_name ORDER BY m.received_at DESC, m.message_id DESC))[1] AS last_from_name
  FROM gmail_messages m
  JOIN users u ON u.id = m.user_id
  WHERE m.deleted_at IS NULL
  GROUP BY m.user_id, u.email, m.stream_id, m.thread_id;
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW gmail_threads SET (security_invoker = true);
  END IF;
EXCEPTION WHEN wrong_object_type OR invalid_table_definition OR insufficient_privilege THEN
  RAISE NOTICE 'view gmail_threads is not replaced: %', SQLERRM;
END
$$;

-- The user comes from the feed: no index of files leads from a user to them.
DO $$
BEGIN
  CREATE OR REPLACE VIEW drive_paths AS
  SELECT s.user_id, a.stream_id, a.file_id, d.name AS drive, p.path, p.ids, p.parent AS top_id, a.trashed
  FROM drive_file_access a
  JOIN streams s ON s.id = a.stream_id
  CROSS JOIN LATERAL (
    WITH RECURSIVE up AS (
      SELECT a.parents[1] AS parent, ARRAY[a.file_id] AS ids, '/' || coalesce(a.name, a.file_id) AS path
      UNION ALL
      SELECT folder.parents[1], folder.file_id || up.ids, '/' || coalesce(folder.name, folder.file_id) || up.path
      FROM up JOIN drive_file_access folder ON folder.stream_id = a.stream_id AND folder.file_id = up.parent
      WHERE folder.deleted_at IS NULL AND cardinality(up.ids) <= 100 AND folder.file_id <> ALL (up.ids)
    )
    SELECT up.parent, up.ids, up.path FROM up ORDER BY cardinality(up.ids) DESC LIMIT 1
  ) AS p
  LEFT JOIN drives d ON d.user_id = s.user_id AND d.drive_id = p.parent AND d.deleted_at IS NULL
  WHERE a.deleted_at IS NULL;
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW drive_paths SET (security_invoker = true);
  END IF;
EXCEPTION WHEN wrong_object_type OR invalid_table_definition OR insufficient_privilege THEN
  RAISE NOTICE 'view drive_paths is not replaced: %', SQLERRM;
END
$$;
