-- Records that the labels of a mailbox were listed, or why they, or only their colours, could not be.
-- $1 stream, $2 user, $3 whether they were listed, $4 class and $5 message of the failure (NULL: none)
INSERT INTO gmail_mailboxes AS m (stream_id, user_id, labels_listed_at, labels_failing_since, labels_failed_class, labels_failed_message)
VALUES ($1, $2, CASE WHEN $3 THEN now() END, CASE WHEN $4 IS NOT NULL THEN now() END, $4, $5)
ON CONFLICT (stream_id) DO UPDATE SET labels_listed_at = coalesce(excluded.labels_listed_at, m.labels_listed_at),
  labels_failing_since = CASE
    WHEN excluded.labels_failed_class IS NULL THEN NULL
    -- Only their colours have failed until now.
    WHEN NOT $3 AND m.labels_listed_at >= m.labels_failing_since THEN now()
    ELSE coalesce(m.labels_failing_since, now()) END,
  labels_failed_class = excluded.labels_failed_class, labels_failed_message = excluded.labels_failed_message
