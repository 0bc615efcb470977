-- Upserts live events. Unchanged rows are not rewritten, except to stamp them with a full pass.
-- $1 stream, $2 user, $3 calendar, $4 pass (NULL: incremental), $5… one array per column
WITH input AS (
  SELECT * FROM unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::date[], $12::date[],
    $13::text[], $14::text[], $15::int[], $16::text[], $17::timestamptz[], $18::date[], $19::text[], $20::text[],
    $21::timestamptz[], $22::text[], $23::text[])
    AS t (event_id, status, event_type, summary, start_at, end_at, start_date, end_date, time_zone, organizer, attendees_count,
      recurring_event_id, original_start_at, original_start_date, ical_uid, etag, updated, raw, unread)
)
INSERT INTO calendar_events AS e (stream_id, user_id, calendar_id, seen_pass, event_id, status, event_type, summary, start_at, end_at,
  start_date, end_date, time_zone, organizer, attendees_count, recurring_event_id, original_start_at, original_start_date,
  ical_uid, etag, updated, raw, unread)
SELECT $1, $2, $3, $4, event_id, status, event_type, summary, start_at, end_at, start_date, end_date, time_zone, organizer,
  attendees_count, recurring_event_id, original_start_at, original_start_date, ical_uid, etag, updated, raw::jsonb, string_to_array(unread, ',')
FROM input
ON CONFLICT (stream_id, event_id) DO UPDATE SET
  seen_pass = coalesce(excluded.seen_pass, e.seen_pass), status = excluded.status, event_type = excluded.event_type,
  summary = excluded.summary, start_at = excluded.start_at, end_at = excluded.end_at, start_date = excluded.start_date,
  end_date = excluded.end_date, time_zone = excluded.time_zone, organizer = excluded.organizer,
  attendees_count = excluded.attendees_count, recurring_event_id = excluded.recurring_event_id,
  original_start_at = excluded.original_start_at, original_start_date = excluded.original_start_date,
  ical_uid = excluded.ical_uid, etag = excluded.etag, updated = excluded.updated,
  raw = excluded.raw, unread = excluded.unread, deleted_at = NULL, cancels_occurrence = false,
  synced_at = CASE WHEN e.etag = excluded.etag AND e.deleted_at IS NULL AND (excluded.seen_pass IS NOT NULL OR e.raw = excluded.raw)
    THEN e.synced_at ELSE now() END,
  -- Full passes list unchanged events, and some that have changed without a new etag.
  changed_xid = CASE WHEN e.etag = excluded.etag AND e.deleted_at IS NULL AND e.raw = excluded.raw THEN e.changed_xid ELSE excluded.changed_xid END
-- The feed gives the current state, whatever its time: `updated` goes back when a calendar is restored or imported.
WHERE (e.etag IS DISTINCT FROM excluded.etag OR e.etag IS NULL OR e.deleted_at IS NOT NULL
       OR (excluded.seen_pass IS NOT NULL AND e.seen_pass IS DISTINCT FROM excluded.seen_pass)
       -- In the feed, an event has changed even if its etag has not; a full pass also lists unchanged events.
       OR (excluded.seen_pass IS NULL AND e.raw IS DISTINCT FROM excluded.raw))
RETURNING e.event_id,
  -- now() is the time of this transaction, so a row that was only stamped keeps an older synced_at. Joining the old rows instead would read
  -- the whole calendar for every page.
  CASE WHEN e.xmax = 0 THEN 'created' WHEN e.synced_at = now() THEN 'updated' ELSE 'unchanged' END AS outcome
