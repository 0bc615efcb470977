-- Lists the ids of due streams of one service: streams with a cursor separately from full passes, the longest overdue first. Deliberately without an
-- index on due_at: with one, every poll would write to every index of the table. One scan per run, and a few more in a long run, cost less.
-- Excludes streams of paused projects; owners are only looked up while a project is paused.
-- $1 run, $2 service, $3 include streams that are not due, $4 users or projects (NULL: all), $5 only streams announced since their last poll began,
-- $6 only these ids, which are polled separately (NULL: all others, and list the ids to poll separately)
-- Returns a single row: one row per id would cost more than the scan.
SELECT array_agg(s.id ORDER BY s.due_at) FILTER (WHERE s.cursor IS NOT NULL AND NOT l.is_apart),
  array_agg(s.id ORDER BY s.page_token IS NOT NULL, s.due_at) FILTER (WHERE s.cursor IS NULL AND NOT l.is_apart),
  count(*) FILTER (WHERE s.cursor IS NULL AND s.page_token IS NULL AND NOT l.is_apart),
  -- Held streams, for named users only: the run waits for these.
  CASE WHEN $3 AND $4::uuid[] IS NOT NULL THEN (
    SELECT count(*) FROM streams h WHERE h.service = $2 AND h.user_id = ANY ($4) AND h.state NOT IN ('removed', 'revoked', 'off')
      AND h.last_run IS DISTINCT FROM $1 AND h.claimed_until >= now()) ELSE 0 END,
  EXISTS (SELECT FROM quota_pauses p WHERE p.service = $2 AND p.until > now()),
  -- For runs over all users only, so that they count refused accounts only if there are any.
  $4::uuid[] IS NULL AND (EXISTS (SELECT FROM accounts WHERE state = 'revoked' OR refused_at IS NOT NULL)
    OR EXISTS (SELECT FROM streams r WHERE r.service = $2 AND r.state = 'stopped')),
  array_agg(s.id) FILTER (WHERE l.is_apart)
FROM streams s
-- Two processes in a row died while holding it. An expired lease that has not been taken over yet counts too.
CROSS JOIN LATERAL (SELECT $6::bigint[] IS NULL AND s.lapses + (s.claimed_by IS NOT NULL)::int >= 2 AS is_apart) l
WHERE s.service = $2
  AND s.state NOT IN ('removed', 'revoked', 'off')
  -- A stream that is included without being due is listed only once per run.
  AND (s.due_at <= now() OR ($3 AND s.last_run IS DISTINCT FROM $1))
  AND (s.claimed_until IS NULL OR s.claimed_until < now())
  -- A run that began before a complete pass was requested may have outdated settings: it leaves the stream to the next run.
  AND (s.resync_asked_at IS NULL OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = $1 AND r.started_at < s.resync_asked_at))
  AND ($6::bigint[] IS NULL OR s.id = ANY ($6))
  AND ($4::uuid[] IS NULL OR coalesce(s.user_id, s.attendee_project) = ANY ($4))
  AND (NOT EXISTS (SELECT FROM quota_pauses p WHERE p.service = $2 AND p.until > now())
    OR coalesce(s.user_id, s.attendee_project) NOT IN (
      SELECT a.user_id FROM quota_pauses p JOIN accounts a ON a.project = p.project WHERE p.service = $2 AND p.until > now()
      UNION ALL
      SELECT a.id FROM quota_pauses p JOIN attendee_projects a ON a.id::text = p.project WHERE p.service = $2 AND p.until > now()))
  AND (NOT $5 OR s.pushed_at > coalesce(s.polled_at, '-infinity'))
