-- Adds the labels that messages bear and that are not known. User labels have no name until they are listed, which is due at once if $4: their mailbox is
-- polled again. A label of Gmail's own has its name as its id.
-- $1 stream, $2 user, $3 ids
WITH added AS (
  INSERT INTO gmail_labels AS l (stream_id, user_id, label_id, name, kind)
  SELECT $1, $2, id, CASE WHEN NOT starts_with(id, 'Label_') THEN id END, CASE WHEN starts_with(id, 'Label_') THEN 'user' ELSE 'system' END
  FROM unnest($3::text[]) AS id
  -- Not a join: without statistics, the planner would read the whole table.
  WHERE (SELECT o.deleted_at IS NULL FROM gmail_labels o WHERE o.stream_id = $1 AND o.label_id = id) IS NOT TRUE
  ON CONFLICT (stream_id, label_id) DO UPDATE SET deleted_at = NULL, removed_to = NULL, synced_at = now()
  RETURNING kind
)
UPDATE streams SET due_at = now(), cursor = CASE WHEN starts_with(cursor, '{') THEN (cursor::jsonb || '{"labels_due": 0}')::text ELSE cursor END
WHERE id = $1 AND $4 AND EXISTS (SELECT FROM added WHERE kind = 'user')
