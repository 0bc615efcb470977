-- Stores the list of a mailbox's labels. User labels that it does not name are gone; it omits some of Gmail's own. Unchanged rows are not rewritten.
-- $1 stream, $2 user, $3… one array per column; affects one row for each label that is gone; its removal from messages begins
WITH listed AS (
  SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bool[])
    AS t (label_id, name, kind, label_list_visibility, message_list_visibility, text_color, background_color, has_color)
), stored AS (
  INSERT INTO gmail_labels AS l (stream_id, user_id, label_id, name, kind, label_list_visibility, message_list_visibility, text_color, background_color)
  SELECT $1, $2, label_id, name, kind, label_list_visibility, message_list_visibility,
    -- A colour that could not be read stays as it was. Not a join: without statistics, the planner would read the whole table.
    CASE WHEN has_color THEN t.text_color
      ELSE (SELECT o.text_color FROM gmail_labels o WHERE o.stream_id = $1 AND o.label_id = t.label_id) END,
    CASE WHEN has_color THEN t.background_color
      ELSE (SELECT o.background_color FROM gmail_labels o WHERE o.stream_id = $1 AND o.label_id = t.label_id) END
  FROM listed t
  ON CONFLICT (stream_id, label_id) DO UPDATE SET name = excluded.name, kind = excluded.kind,
    label_list_visibility = excluded.label_list_visibility, message_list_visibility = excluded.message_list_visibility,
    text_color = excluded.text_color, background_color = excluded.background_color, deleted_at = NULL, removed_to = NULL,
    synced_at = now()
  WHERE (l.name, l.kind, l.label_list_visibility, l.message_list_visibility, l.text_color, l.background_color, l.deleted_at)
    IS DISTINCT FROM (excluded.name, excluded.kind, excluded.label_list_visibility, excluded.message_list_visibility, excluded.text_color,
      excluded.background_color, NULL::timestamptz)
)
UPDATE gmail_labels SET deleted_at = now(), removed_to = '', synced_at = now()
WHERE stream_id = $1 AND kind = 'user' AND deleted_at IS NULL AND label_id <> ALL ($3)
