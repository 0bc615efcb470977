-- Closes unchanged streams, hundreds at a time, if this run still holds them.
-- The answer may predate an announcement made after the claim: such a stream stays due.
-- $1 run, $2 ids, $3 cursors, $4 seconds to the next poll, $5 skip rows that another transaction holds, which doubles the cost
-- Returns the ids of closed and of skipped streams.
WITH patience AS MATERIALIZED (
  -- For this transaction. Shorter than the server's deadlock_timeout.
  SELECT set_config('lock_timeout', '100ms', true)
), free AS (
  SELECT id FROM streams WHERE $5 AND id = ANY ($2) AND claimed_by = $1 FOR NO KEY UPDATE SKIP LOCKED
), closed AS (
  UPDATE streams s
  SET cursor = idle.cursor, page_token = NULL,
      due_at = CASE WHEN s.pushed_at > s.claimed_at OR s.resync_asked_at > s.claimed_at THEN now() ELSE now() + make_interval(secs => idle.wait) END,
      polled_at = coalesce(s.claimed_at, now()),
      claimed_by = NULL, claimed_until = NULL, lapses = 0, failures = 0, failed_class = NULL, failed_message = NULL,
      state = CASE WHEN s.state = 'stopped' OR (s.state = 'degraded' AND s.resync_day < current_date) THEN 'active' ELSE s.state END
  FROM unnest($2::bigint[], $3::text[], $4::float8[]) AS idle (id, cursor, wait) CROSS JOIN patience
  WHERE s.id = idle.id AND (NOT $5 OR s.id IN (SELECT id FROM free))
    -- A CASE, because statistics show hardly any claimed stream: with a plain comparison the planner starts the join there and scans the
    -- arrays once for each of the hundreds of claimed streams.
    AND CASE WHEN s.claimed_by = $1 THEN true ELSE false END
  RETURNING s.id
)
SELECT (SELECT array_agg(id) FROM closed),
  (SELECT array_agg(id) FROM streams WHERE $5 AND id = ANY ($2) AND claimed_by = $1 AND id NOT IN (SELECT id FROM closed))
