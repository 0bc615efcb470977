-- The labels of a mailbox. gmail_messages.labels has their ids. No foreign keys: whoever writes a page holds the stream's row.
CREATE TABLE gmail_labels (
  stream_id bigint NOT NULL,
  label_id text NOT NULL,
  user_id uuid NOT NULL,
  -- Nested labels are a convention of names: Parent/Child. NULL: a message bears the label, and it is not listed yet.
  name text,
  kind text NOT NULL CHECK (kind IN ('system', 'user')),
  -- As #rrggbb. NULL: none is set. Only labels of users have colours.
  text_color text,
  background_color text,
  -- As Gmail names them: labelShow, labelShowIfUnread or labelHide; show or hide.
  label_list_visibility text,
  message_list_visibility text,
  deleted_at timestamptz,
  synced_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream_id, label_id)
);

CREATE OR REPLACE FUNCTION syncctl_forget_mailbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM gmail_labels WHERE stream_id = OLD.id;
  DELETE FROM gmail_detections WHERE stream_id = OLD.id;
  DELETE FROM gmail_messages WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;

-- Messages by the names of their labels: one row for each message and label.
CREATE VIEW gmail_messages_by_label AS
SELECT m.user_id, u.email, coalesce(l.name, l.label_id) AS label, l.label_id, l.kind AS label_kind, m.stream_id, m.message_id, m.thread_id,
  m.received_at, m.from_address, m.from_name, m.subject, m.snippet, m.unread
FROM gmail_messages m
JOIN gmail_labels l ON l.stream_id = m.stream_id AND l.label_id = ANY (m.labels)
JOIN users u ON u.id = m.user_id
WHERE m.deleted_at IS NULL AND l.deleted_at IS NULL;

-- Threads, as far as their messages are stored.
CREATE VIEW gmail_threads AS
SELECT m.user_id, u.email, m.stream_id, m.thread_id, (array_agg(m.subject ORDER BY m.received_at, m.message_id))[1] AS subject,
  min(m.received_at) AS first_at, max(m.received_at) AS last_at, count(*) AS messages, count(*) FILTER (WHERE m.unread) AS unread
FROM gmail_messages m
JOIN users u ON u.id = m.user_id
WHERE m.deleted_at IS NULL
GROUP BY m.user_id, u.email, m.stream_id, m.thread_id;

-- Whoever reads a view needs the rights on its tables. PostgreSQL 14 has no such option.
DO $$
BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW gmail_messages_by_label SET (security_invoker = true);
    ALTER VIEW gmail_threads SET (security_invoker = true);
  END IF;
END
$$;
