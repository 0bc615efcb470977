-- Claims those of the listed streams that are still due and free. Skips rows that others hold, without waiting.
-- $1 run, $2 lease in seconds, $3 ids, $4 include streams that are not due, $5 settings that a complete pass would use now
WITH due AS (
  SELECT s.id, s.user_id, s.last_run IS NOT DISTINCT FROM $1 AS again
  FROM streams s
  WHERE s.id = ANY ($3)
    AND s.state NOT IN ('removed', 'revoked', 'off')
    AND (s.due_at <= now() OR ($4 AND s.last_run IS DISTINCT FROM $1))
    AND (s.claimed_until IS NULL OR s.claimed_until < now())
    -- A run that began before a complete pass was requested may have outdated settings: it leaves the stream to the next run.
    AND (s.resync_asked_at IS NULL OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = $1 AND r.started_at < s.resync_asked_at))
  FOR UPDATE OF s SKIP LOCKED
), aside AS (
  -- Items of these streams that could not be fetched and are due to be fetched again, in batches. And items that must not be read.
  SELECT q.stream_id, (array_agg(q.item_id ORDER BY q.retry_at) FILTER (WHERE NOT q.is_deadly))[1:100] AS unfetched,
    array_agg(q.item_id) FILTER (WHERE q.is_deadly) AS deadly
  FROM quarantined_items q
  WHERE (q.retry_at <= now() OR q.is_deadly) AND q.stream_id = ANY ($3)
  GROUP BY q.stream_id
)
UPDATE streams s
SET claimed_by = $1, claimed_until = now() + make_interval(secs => $2), claimed_at = now(), last_run = $1,
  -- A previous holder whose lease expired did not release the stream.
  lapses = CASE WHEN s.claimed_by IS NULL THEN s.lapses ELSE least(s.lapses + 1, 1000) END
-- A stream of an Attendee project has no account.
FROM due LEFT JOIN accounts a ON a.user_id = due.user_id LEFT JOIN aside q ON q.stream_id = due.id
WHERE s.id = due.id
-- Followed by RETURNING: stream_columns.sql, then q.unfetched, due.again, whether a pass was requested or is outdated, q.deadly.
