-- Messages of a mailbox, as far as they were asked for. No foreign keys, as with calendar_events: whoever writes holds the stream.
CREATE TABLE gmail_messages (
  stream_id bigint NOT NULL,
  message_id text NOT NULL,
  user_id uuid NOT NULL,
  thread_id text NOT NULL,
  -- The last change that is in this row, as Gmail numbers them: an older one never undoes a newer one.
  history_id bigint,
  labels text[] NOT NULL DEFAULT '{}',
  unread boolean GENERATED ALWAYS AS ('UNREAD' = ANY (labels)) STORED,
  received_at timestamptz,
  sent_at timestamptz,
  from_address text,
  from_name text,
  to_addresses text[] NOT NULL DEFAULT '{}',
  cc_addresses text[] NOT NULL DEFAULT '{}',
  subject text,
  snippet text,
  size_estimate bigint,
  rfc822_message_id text,
  headers jsonb NOT NULL DEFAULT '[]',
  -- Of messages that were read whole.
  body text,
  attachments jsonb,
  note text,
  seen_pass bigint,
  deleted_at timestamptz,
  synced_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream_id, message_id)
);
CREATE INDEX gmail_messages_user_received ON gmail_messages (user_id, received_at) WHERE deleted_at IS NULL;

-- Virtual addresses found, each once per message. `user_id`: whom the address names, if it names one user.
CREATE TABLE gmail_detections (
  stream_id bigint NOT NULL,
  message_id text NOT NULL,
  address text NOT NULL,
  username text NOT NULL,
  status text NOT NULL CHECK (status IN ('found', 'user_not_found')),
  user_id uuid,
  kind text NOT NULL,
  document_id uuid,
  detected_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream_id, message_id, address)
);
CREATE INDEX gmail_detections_user ON gmail_detections (user_id);

CREATE FUNCTION syncctl_forget_mailbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM gmail_detections WHERE stream_id = OLD.id;
  DELETE FROM gmail_messages WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER forget_mailbox AFTER DELETE ON streams FOR EACH ROW WHEN (OLD.service = 'gmail') EXECUTE FUNCTION syncctl_forget_mailbox();

-- Users who were there before get the new services' streams.
INSERT INTO streams (user_id, service, kind, resource) SELECT user_id, 'gmail', 'mailbox', '' FROM accounts ON CONFLICT DO NOTHING;
