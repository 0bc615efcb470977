-- One name, in all tables, for when that of which a row tells ceased to exist, or to be seen.
ALTER TABLE drive_files RENAME COLUMN gone_at TO deleted_at;
ALTER TABLE drive_file_access RENAME COLUMN lost_at TO deleted_at;

-- When the labels of each mailbox were listed last, and why that fails. No foreign keys: the writer of a page holds the stream's row.
CREATE TABLE gmail_mailboxes (
  stream_id bigint PRIMARY KEY,
  user_id uuid NOT NULL,
  -- NULL: not since this table was added.
  labels_listed_at timestamptz,
  -- The first of the failures in a row. If the labels were listed since, only their colours fail. NULL, like the two below: the last attempt succeeded.
  labels_failing_since timestamptz,
  labels_failed_class text,
  labels_failed_message text
);

-- A deleted label is being removed from messages, in the order of their ids: done up to this one. NULL: complete.
ALTER TABLE gmail_labels ADD COLUMN removed_to text;
CREATE INDEX gmail_labels_removing ON gmail_labels (stream_id) WHERE removed_to IS NOT NULL;

CREATE OR REPLACE FUNCTION syncctl_forget_mailbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM gmail_mailboxes WHERE stream_id = OLD.id;
  DELETE FROM gmail_labels WHERE stream_id = OLD.id;
  DELETE FROM gmail_detections WHERE stream_id = OLD.id;
  DELETE FROM gmail_attachments WHERE stream_id = OLD.id;
  -- A user has one mailbox.
  DELETE FROM gmail_contents WHERE user_id = OLD.user_id;
  DELETE FROM gmail_messages WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;

-- Files whose owners and permissions have not been read yet: none, some time after an upgrade.
CREATE INDEX drive_file_access_unfilled ON drive_file_access (stream_id) WHERE permissions_known IS NULL AND deleted_at IS NULL;

-- Each feed of each user: why stored data may be missing or outdated. Commands that show stored data read it, too.
CREATE VIEW sync_completeness AS
SELECT s.user_id, u.email, s.id AS stream_id, s.service, s.kind, s.resource,
  CASE WHEN s.kind = 'events' THEN c.summary WHEN s.resource = 'my-drive' THEN 'My Drive' ELSE d.name END AS name, s.state,
  CASE
    WHEN s.state NOT IN ('active', 'degraded') THEN 'not_synced'
    WHEN s.failures > 0 THEN 'failing'
    -- Instances need a pass since there are any.
    WHEN s.full_pass_at IS NULL OR s.kind = 'events' AND w.listed IS NULL THEN 'first_pass'
    -- Each poll of the list of drives is a full pass.
    WHEN s.cursor IS NULL AND s.kind <> 'drive_list' THEN 'full_pass'
    WHEN s.kind = 'events' AND (w.covered IS NULL OR w.rebuilt_to IS NOT NULL) THEN 'instances'
    WHEN q.items > 0 OR e.events > 0 THEN 'unread'
    WHEN s.kind = 'changes' AND EXISTS (
      SELECT FROM drive_file_access a WHERE a.stream_id = s.id AND a.deleted_at IS NULL AND a.permissions_known IS NULL) THEN 'permissions'
    WHEN m.labels_failing_since IS NOT NULL AND coalesce(m.labels_listed_at < m.labels_failing_since, true) THEN 'labels'
  END AS missing,
  s.full_pass_at IS NOT NULL AND (s.kind <> 'events' OR w.listed IS NOT NULL) AS first_pass_complete,
  CASE WHEN s.failures = 0 AND s.failed_class IS NULL THEN s.polled_at END AS succeeded_at,
  s.failures, CASE WHEN s.failures > 0 THEN s.failing_since END AS failing_since, s.failed_class, s.failed_message,
  q.items AS quarantined_items, e.events AS unread_events,
  lower(w.covered * w.listed) AS instances_from, upper(w.covered * w.listed) AS instances_until,
  m.labels_listed_at, m.labels_failing_since, m.labels_failed_message
FROM streams s
JOIN users u ON u.id = s.user_id
LEFT JOIN calendars c ON s.kind = 'events' AND c.user_id = s.user_id AND c.calendar_id = s.resource
LEFT JOIN calendar_windows w ON w.stream_id = s.id
LEFT JOIN drives d ON s.kind = 'changes' AND d.user_id = s.user_id AND d.drive_id = s.resource
LEFT JOIN gmail_mailboxes m ON m.stream_id = s.id
CROSS JOIN LATERAL (SELECT count(*) AS items FROM quarantined_items q WHERE q.stream_id = s.id) AS q
CROSS JOIN LATERAL (
  SELECT count(*) AS events FROM calendar_events e
  WHERE e.user_id = s.user_id AND e.stream_id = s.id AND e.unread IS NOT NULL AND 'recurrence' = ANY (e.unread) AND e.deleted_at IS NULL) AS e
-- The feed of documents to classify is not a provider's.
WHERE s.service <> 'classify' AND s.state <> 'removed';

-- A reader of a view needs the rights on its tables. PostgreSQL 14 has no such option.
DO $$
BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW sync_completeness SET (security_invoker = true);
  END IF;
END
$$;

-- Feeds of files that wait for the full pass of migration 39: one every 20 seconds, or all within a week. A pass is due 20 years of 365
-- days after this time.
UPDATE streams s SET full_pass_at = now() - interval '175200 hours' + make_interval(secs => t.wait)
FROM (
  SELECT id, (row_number() OVER (ORDER BY id) - 1) * least(20.0, 604800.0 / count(*) OVER ())::float8 AS wait
  FROM streams WHERE service = 'drive' AND kind = 'changes' AND full_pass_at = 'epoch' AND cursor IS NOT NULL
) AS t
WHERE s.id = t.id;
