-- Stores notifications that are not there yet, and makes their streams due. A thousand of one stream make it due once.
-- $1 sources, $2 keys, $3 streams (NULL: none), $4 channels (NULL: none), $5 whether each announces a change; answers the positions of new ones
WITH arrived AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::bool[]) WITH ORDINALITY
    AS a (source, key, stream_id, channel_id, change, place)
), stored AS (
  -- In the order of the key, so that two hosts that get the same ones do not wait for each other in a circle.
  INSERT INTO notifications (source, key, stream_id)
  SELECT source, key, stream_id FROM arrived ORDER BY source, key
  ON CONFLICT DO NOTHING
  RETURNING source, key
), fresh AS (
  SELECT DISTINCT ON (a.source, a.key) a.* FROM arrived a JOIN stored s USING (source, key) ORDER BY a.source, a.key, a.place
), held AS (
  SELECT s.id FROM streams s
  WHERE s.id IN (SELECT stream_id FROM fresh WHERE change)
  ORDER BY s.id
  FOR NO KEY UPDATE
), due AS (
  UPDATE streams s
  -- A stream that fails keeps its backoff: the announcement is not lost, the next poll sees it.
  SET due_at = CASE WHEN s.failures > 0 THEN s.due_at ELSE least(s.due_at, now()) END, pushed_at = now()
  FROM held
  WHERE s.id = held.id
), counted AS (
  UPDATE channels c
  SET notifications = c.notifications + f.arrived, last_notified_at = now()
  FROM (SELECT channel_id, count(*) AS arrived FROM fresh WHERE change GROUP BY channel_id) f
  WHERE c.id = f.channel_id
)
SELECT array_agg(place) FROM fresh
