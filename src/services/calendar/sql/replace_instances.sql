-- Replaces the instances of changed events: those no longer among the rows are deleted, the others are upserted. Unchanged rows are not rewritten.
-- $1 user, $2 stream, $3 events that may be stored already, under their own ids; $4… one array per column; $14 those of $3 that may be, or may have
-- been, series
WITH input AS (
  SELECT * FROM unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::date[], $10::date[], $11::bool[], $12::text[],
    $13::text[])
    AS t (instance_id, event_id, series_id, starts, ends, start_date, end_date, busy, response, title)
), stored AS (
  -- Row by row: without statistics, the planner would take a calendar to have one row, and read them all. Pages hold the stream's row, so these stay.
  SELECT i.ctid, i.instance_id FROM unnest($3::text[]) AS e (id), LATERAL (
    SELECT ctid, instance_id FROM calendar_instances WHERE user_id = $1 AND stream_id = $2 AND instance_id = e.id OFFSET 0) AS i
  UNION ALL
  -- The ids of a series' occurrences are one range of the primary key: '`' follows '_'. Its exceptions have ids in it, too.
  SELECT i.ctid, i.instance_id FROM unnest($14::text[]) AS e (id), LATERAL (
    SELECT ctid, instance_id FROM calendar_instances WHERE user_id = $1 AND stream_id = $2 AND instance_id >= e.id || '_'
      AND instance_id < e.id || '`' AND event_id = e.id OFFSET 0) AS i
), gone AS (
  DELETE FROM calendar_instances
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM stored WHERE instance_id NOT IN (SELECT instance_id FROM input)))
)
INSERT INTO calendar_instances AS i
  (user_id, stream_id, instance_id, event_id, series_id, during, all_day, start_date, end_date, busy, response, title)
SELECT $1, $2, instance_id, event_id, series_id, tstzrange(starts, ends, CASE WHEN starts = ends THEN '[]' ELSE '[)' END), start_date IS NOT NULL,
  start_date, end_date, busy, response, title
FROM input
ON CONFLICT (user_id, stream_id, instance_id) DO UPDATE SET event_id = excluded.event_id, series_id = excluded.series_id, during = excluded.during,
  all_day = excluded.all_day, start_date = excluded.start_date, end_date = excluded.end_date, busy = excluded.busy, response = excluded.response,
  title = excluded.title
WHERE (i.event_id, i.series_id, i.during, i.all_day, i.start_date, i.end_date, i.busy, i.response, i.title) IS DISTINCT FROM (excluded.event_id,
  excluded.series_id, excluded.during, excluded.all_day, excluded.start_date, excluded.end_date, excluded.busy, excluded.response, excluded.title)
