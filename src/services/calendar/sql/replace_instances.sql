-- Replaces the instances of changed events: those no longer among the rows are deleted, the others are upserted. Unchanged rows are not rewritten.
-- $1 user, $2 stream, $3 events whose instances may be stored already, $4… one array per column
WITH input AS (
  SELECT * FROM unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::date[], $10::date[], $11::bool[], $12::text[],
    $13::text[])
    AS t (instance_id, event_id, series_id, starts, ends, start_date, end_date, busy, response, title)
), gone AS (
  DELETE FROM calendar_instances i
  USING unnest($3::text[]) AS e (id)
  WHERE i.user_id = $1 AND i.stream_id = $2
    -- An exception has the id of the occurrence that it replaces. The ids of a series' occurrences are one range: '`' follows '_'.
    AND (i.instance_id = e.id OR (i.instance_id >= e.id || '_' AND i.instance_id < e.id || '`' AND i.event_id = e.id))
    AND NOT EXISTS (SELECT FROM input n WHERE n.instance_id = i.instance_id)
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
