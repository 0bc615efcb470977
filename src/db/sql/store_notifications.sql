-- Stores notifications that are not there yet, and makes their streams due. A thousand of one stream make it due once. Those whose stream another
-- transaction holds are left out: nobody else's waits for them.
-- $1 sources, $2 keys, $3 streams (NULL: none), $4 channels (NULL: none), $5 whether each announces a change; answers the positions of new ones,
-- and of those that were left out
WITH arrived AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::bool[]) WITH ORDINALITY
    AS a (source, key, stream_id, channel_id, change, place)
), held AS (
  -- Before anything is stored, and never waited for: two hosts that get the same ones do not wait for each other in a circle.
  SELECT s.id FROM streams s
  WHERE s.id IN (SELECT stream_id FROM arrived WHERE change)
  FOR NO KEY UPDATE OF s SKIP LOCKED
), admitted AS (
  -- A stream that is gone by now makes nothing due, and holds nothing up.
  SELECT * FROM arrived a
  WHERE NOT coalesce(change, false) OR stream_id IN (SELECT id FROM held) OR NOT EXISTS (SELECT FROM streams s WHERE s.id = a.stream_id)
), stored AS (
  -- In the order of the key, for the same reason.
  INSERT INTO notifications (source, key, stream_id)
  SELECT source, key, stream_id FROM admitted ORDER BY source, key
  ON CONFLICT DO NOTHING
  RETURNING source, key
), fresh AS (
  SELECT DISTINCT ON (a.source, a.key) a.* FROM admitted a JOIN stored s USING (source, key) ORDER BY a.source, a.key, a.place
), due AS (
  UPDATE streams s
  -- A stream that fails keeps its backoff: the announcement is not lost, the next poll sees it.
  SET due_at = CASE WHEN s.failures > 0 THEN s.due_at ELSE least(s.due_at, now()) END, pushed_at = now()
  FROM (SELECT DISTINCT stream_id FROM fresh WHERE change) f
  WHERE s.id = f.stream_id
), counted AS (
  UPDATE channels c
  SET notifications = c.notifications + f.arrived, last_notified_at = now()
  FROM (SELECT channel_id, count(*) AS arrived FROM fresh WHERE change GROUP BY channel_id) f
  WHERE c.id = f.channel_id
    -- Where a renewal or somebody else is at the row, its count is not worth waiting for.
    AND c.id IN (SELECT id FROM channels WHERE id IN (SELECT channel_id FROM fresh) FOR NO KEY UPDATE SKIP LOCKED)
)
SELECT (SELECT array_agg(place) FROM fresh), (SELECT array_agg(place) FROM arrived WHERE place NOT IN (SELECT place FROM admitted))
