-- The HTML of messages that were fetched in full, if gmail.html is set.
ALTER TABLE gmail_messages ADD COLUMN html text;

-- Attachments of messages that were fetched in full, once gmail.attachments names any. No foreign keys: the writer of a page holds the stream's row.
CREATE TABLE gmail_attachments (
  stream_id bigint NOT NULL,
  message_id text NOT NULL,
  -- From 1, in the order of gmail_messages.attachments.
  position integer NOT NULL,
  user_id uuid NOT NULL,
  name text,
  mime_type text NOT NULL,
  size bigint NOT NULL,
  content_id text,
  inline boolean NOT NULL,
  -- In gmail_contents. NULL: its content is not stored.
  sha256 bytea,
  not_stored text CHECK (not_stored IN ('excluded', 'too_large', 'unreadable')),
  -- With its message.
  deleted_at timestamptz,
  PRIMARY KEY (stream_id, message_id, position),
  CHECK ((sha256 IS NULL) = (not_stored IS NOT NULL))
);
-- Whether a content is in use.
CREATE INDEX gmail_attachments_content ON gmail_attachments (user_id, sha256) WHERE sha256 IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX gmail_attachments_deleted ON gmail_attachments (deleted_at) WHERE deleted_at IS NOT NULL;

-- Contents of attachments, each once for a user: a hash reveals nothing about other users' mail, and a user's rows are that user's only.
CREATE TABLE gmail_contents (
  user_id uuid NOT NULL,
  sha256 bytea NOT NULL,
  size bigint NOT NULL,
  content bytea NOT NULL,
  -- Since when no attachment of an existing message has it. Only a page of the user's mailbox sets it; a row without it is deleted only with the user.
  unused_at timestamptz,
  PRIMARY KEY (user_id, sha256)
);
CREATE INDEX gmail_contents_unused ON gmail_contents (unused_at) WHERE unused_at IS NOT NULL;

CREATE OR REPLACE FUNCTION syncctl_forget_mailbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM gmail_labels WHERE stream_id = OLD.id;
  DELETE FROM gmail_detections WHERE stream_id = OLD.id;
  DELETE FROM gmail_attachments WHERE stream_id = OLD.id;
  -- A user has one mailbox.
  DELETE FROM gmail_contents WHERE user_id = OLD.user_id;
  DELETE FROM gmail_messages WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;
