-- Claims deliveries of one target that are due and free, one for each document: its earliest that is pending. What others hold is skipped.
-- $1 target, $2 run, $3 lease in seconds, $4 due by when, $5 most
WITH due AS (
  SELECT d.event_id
  FROM outbox_deliveries d
  WHERE d.target = $1
    AND d.state = 'pending'
    AND d.due_at <= $4
    AND (d.claimed_until IS NULL OR d.claimed_until < now())
    -- A subquery and no NOT EXISTS: a planner without statistics makes that a hash over everything pending, at every claim.
    AND d.seq = (SELECT min(e.seq) FROM outbox_deliveries e WHERE e.target = $1 AND e.subject = d.subject AND e.state = 'pending')
  ORDER BY d.due_at, d.seq
  LIMIT $5
  FOR UPDATE OF d SKIP LOCKED
)
UPDATE outbox_deliveries d
SET claimed_by = $2, claimed_until = now() + make_interval(secs => $3)
FROM due, outbox_events e
WHERE d.target = $1 AND d.event_id = due.event_id AND e.id = due.event_id
RETURNING d.event_id, e.type, e.payload::text, d.attempts
