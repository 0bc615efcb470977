-- Closes streams in which nothing changed, hundreds at a time, if they are still ours.
-- $1 run, $2 ids, $3 by id: [cursor, seconds to the next poll]; answers the ids it closed
-- The values come as one jsonb and not as a joined table: statistics say that hardly any stream is claimed, so a planner would join from that
-- side and go through the whole table for each of them.
UPDATE streams s
SET cursor = $3::jsonb -> s.id::text ->> 0, page_token = NULL, polled_at = now(),
    due_at = now() + make_interval(secs => ($3::jsonb -> s.id::text ->> 1)::float8),
    claimed_by = NULL, claimed_until = NULL, failures = 0, failed_class = NULL, failed_message = NULL,
    state = CASE WHEN s.state = 'stopped' THEN 'active' ELSE s.state END
WHERE s.id = ANY ($2) AND s.claimed_by = $1
RETURNING s.id
