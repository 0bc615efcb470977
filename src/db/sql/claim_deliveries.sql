-- Claims deliveries of one target that are due and free: for each document, its earliest pending one. Skips rows that others hold.
-- $1 target, $2 run, $3 lease in seconds, $4 maximum due time, $5 limit
WITH claimed AS (
  UPDATE outbox_deliveries
  SET claimed_by = $2, claimed_until = now() + make_interval(secs => $3)
  -- By ctid instead of a join on the key: statistics of a queue are outdated, and the planner might then scan all rows for each of these.
  WHERE ctid = ANY (ARRAY (
    SELECT d.ctid
    FROM outbox_deliveries d
    WHERE d.target = $1
      AND d.state = 'pending'
      AND d.due_at <= $4
      AND (d.claimed_until IS NULL OR d.claimed_until < now())
      -- For the same reason a subquery instead of NOT EXISTS, which could become a hash over all pending rows at every claim.
      AND d.seq = (SELECT min(e.seq) FROM outbox_deliveries e WHERE e.target = $1 AND e.subject = d.subject AND e.state = 'pending')
    ORDER BY d.due_at, d.seq
    LIMIT $5
    FOR UPDATE OF d SKIP LOCKED))
  RETURNING event_id, attempts
)
SELECT e.id, e.type, e.payload::text, c.attempts
FROM claimed c JOIN outbox_events e ON e.id = c.event_id
