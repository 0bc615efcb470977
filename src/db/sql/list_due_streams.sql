-- The streams of one service that are due, by id: those to follow before first syncs, the longest overdue first. No index on due_at serves
-- this, on purpose: with one, every poll would write to every index of the table. One look a run, and a few more of a long one, cost less.
-- $1 run, $2 service, $3 also what is not due, $4 users or projects (NULL: all), $5 only what was announced since the last poll began
-- One row with all of them: rows of their own cost both sides more than the look.
SELECT array_agg(s.id ORDER BY s.due_at) FILTER (WHERE s.cursor IS NOT NULL),
  array_agg(s.id ORDER BY s.page_token IS NOT NULL, s.due_at) FILTER (WHERE s.cursor IS NULL),
  count(*) FILTER (WHERE s.cursor IS NULL AND s.page_token IS NULL)
FROM streams s
WHERE s.service = $2
  AND s.state NOT IN ('removed', 'revoked', 'off')
  -- What is named whether due or not is so once in a run.
  AND (s.due_at <= now() OR ($3 AND s.last_run IS DISTINCT FROM $1))
  AND (s.claimed_until IS NULL OR s.claimed_until < now())
  -- A run that began before a complete pass was asked for may have the settings of before: it leaves the stream to the next one.
  AND (s.resync_asked_at IS NULL OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = $1 AND r.started_at < s.resync_asked_at))
  AND ($4::uuid[] IS NULL OR coalesce(s.user_id, s.attendee_project) = ANY ($4))
  AND (NOT $5 OR s.pushed_at > coalesce(s.polled_at, '-infinity'))
