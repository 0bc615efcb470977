-- Stores new notifications and makes their streams due. Many notifications of one stream update it once. Leaves out notifications whose stream is
-- held by another transaction, so that those of other streams do not wait.
-- $1 sources, $2 keys, $3 streams (NULL: none), $4 channels (NULL: none), $5 whether each announces a change. Returns the ordinals of new and of
-- left-out notifications.
WITH arrived AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::bool[]) WITH ORDINALITY
    AS a (source, key, stream_id, channel_id, change, ordinal)
), held AS (
  -- Locked before anything is stored, and without waiting, so that two hosts with the same notifications cannot deadlock.
  SELECT s.id FROM streams s
  WHERE s.id IN (SELECT stream_id FROM arrived WHERE change)
  FOR NO KEY UPDATE OF s SKIP LOCKED
), admitted AS (
  -- A stream that no longer exists is not made due and does not block its notifications.
  SELECT * FROM arrived a
  WHERE NOT coalesce(change, false) OR stream_id IN (SELECT id FROM held) OR NOT EXISTS (SELECT FROM streams s WHERE s.id = a.stream_id)
), stored AS (
  -- In key order, for the same reason.
  INSERT INTO notifications (source, key, stream_id)
  SELECT source, key, stream_id FROM admitted ORDER BY source, key
  ON CONFLICT DO NOTHING
  RETURNING source, key
), fresh AS (
  SELECT DISTINCT ON (a.source, a.key) a.* FROM admitted a JOIN stored s USING (source, key) ORDER BY a.source, a.key, a.ordinal
), due AS (
  UPDATE streams s
  -- A failing stream keeps its backoff: the announcement is not lost, because the next poll sees it.
  SET due_at = CASE WHEN s.failures > 0 THEN s.due_at ELSE least(s.due_at, now()) END, pushed_at = now()
  FROM (SELECT DISTINCT stream_id FROM fresh WHERE change) f
  WHERE s.id = f.stream_id
), counted AS (
  UPDATE channels c
  SET notifications = c.notifications + f.arrived, last_notified_at = now()
  FROM (SELECT channel_id, count(*) AS arrived FROM fresh WHERE change GROUP BY channel_id) f
  WHERE c.id = f.channel_id
    -- Skip a locked row, for example during a renewal: its count is not worth waiting for.
    AND c.id IN (SELECT id FROM channels WHERE id IN (SELECT channel_id FROM fresh) FOR NO KEY UPDATE SKIP LOCKED)
)
SELECT (SELECT array_agg(ordinal) FROM fresh), (SELECT array_agg(ordinal) FROM arrived WHERE ordinal NOT IN (SELECT ordinal FROM admitted))
