-- Push channels at Google. A row is written before its channel is asked for (`creating`), so that one whose answer was lost is found again;
-- it outlives its stream until the channel is stopped.
CREATE TABLE channels (
  -- X-Goog-Channel-ID
  id uuid PRIMARY KEY,
  stream_id bigint REFERENCES streams ON DELETE SET NULL,
  user_id uuid NOT NULL,
  service text NOT NULL,
  state text NOT NULL DEFAULT 'creating' CHECK (state IN ('creating', 'live', 'stopping', 'stopped', 'refused')),
  address text NOT NULL,
  -- SHA-256 of the token that Google repeats in X-Goog-Channel-Token.
  token_hash bytea NOT NULL,
  -- The run that asks for it: when that is dead, a row that is still `creating` is an orphan.
  run_id uuid,
  resource_id text,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- As it was asked, until Google has said.
  expires_at timestamptz,
  ended_at timestamptz,
  -- What it has announced.
  notifications bigint NOT NULL DEFAULT 0,
  last_notified_at timestamptz,
  failures int NOT NULL DEFAULT 0,
  last_error text
);
-- Two runs never ask for the same stream at once.
CREATE UNIQUE INDEX channels_creating ON channels (stream_id) WHERE state = 'creating';
CREATE INDEX channels_stream ON channels (stream_id) WHERE state <> 'stopped';
CREATE INDEX channels_open ON channels (service, state, expires_at) WHERE state <> 'stopped';
-- Changes in a row that polling found and the channel did not announce.
ALTER TABLE streams ADD COLUMN push_missed int NOT NULL DEFAULT 0;

-- What came in, once each. `key`: the channel's message number, Pub/Sub's message id, or Attendee's idempotency key.
CREATE TABLE notifications (
  source text NOT NULL,
  key text NOT NULL,
  stream_id bigint,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, key)
);
CREATE INDEX notifications_received ON notifications (received_at);

-- `push_until`: a channel announces its changes until then, so that only a safety poll is due by itself. `pushed_at`: the last announcement
-- that made it due. `claimed_at`: what was announced later may be missing in the answer of the poll under way; `polled_at` is set to it.
ALTER TABLE streams ADD COLUMN push_until timestamptz, ADD COLUMN pushed_at timestamptz, ADD COLUMN claimed_at timestamptz;
