-- Closes streams in which nothing changed, hundreds at a time, if they are still ours.
-- What was announced after the claim may have come too late for the answer: such a stream stays due.
-- $1 run, $2 ids, $3 cursors, $4 seconds to the next poll, $5 pass over what another transaction holds, which costs as much again as the update
-- Answers the ids that it closed, and those that it passed over.
WITH patience AS MATERIALIZED (
  -- Until this statement ends. Shorter than the server waits before it looks for deadlocks.
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
    -- A CASE, because statistics say that hardly any stream is claimed: with a plain comparison the planner joins from that side and goes
    -- through the arrays once for each of the hundreds of streams that are.
    AND CASE WHEN s.claimed_by = $1 THEN true ELSE false END
  RETURNING s.id
)
SELECT (SELECT array_agg(id) FROM closed),
  (SELECT array_agg(id) FROM streams WHERE $5 AND id = ANY ($2) AND claimed_by = $1 AND id NOT IN (SELECT id FROM closed))
