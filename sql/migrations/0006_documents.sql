-- What a person or a model may want to read: an e-mail, a file, a transcript. One row for each user who may read it.
CREATE TABLE documents (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  source text NOT NULL,
  source_id text NOT NULL,
  kind text NOT NULL,
  project_id uuid,
  title text,
  author text,
  occurred_at timestamptz,
  mime_type text,
  snippet text,
  body text,
  -- What the source alone has: attachments, links, addresses.
  details jsonb NOT NULL DEFAULT '{}',
  -- Why something is missing: too large, malformed.
  note text,
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'updated', 'deleted')),
  version int NOT NULL DEFAULT 1,
  -- SHA-256 of what is told about it, then of its text.
  content_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  -- Mail comes in every language, so words are not stemmed. A tsvector holds one megabyte at most, hence the bound.
  search tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', left(coalesce(title, ''), 1000)), 'A') || setweight(to_tsvector('simple', left(coalesce(author, ''), 1000)), 'B')
    || setweight(to_tsvector('simple', left(coalesce(body, snippet, ''), 100000)), 'C')) STORED,
  UNIQUE (source, source_id, user_id)
);
CREATE INDEX documents_search ON documents USING gin (search);
CREATE INDEX documents_user_updated ON documents (user_id, updated_at);

-- Events for the outside, written in the transaction of the data they speak of. `subject` is what they are ordered by: the document.
CREATE TABLE outbox_events (
  id uuid PRIMARY KEY,
  seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  type text NOT NULL,
  subject uuid NOT NULL,
  user_id uuid NOT NULL,
  payload jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Whether the deliveries below were made of it.
  routed boolean NOT NULL DEFAULT false
);
CREATE INDEX outbox_events_new ON outbox_events (seq) WHERE NOT routed;
-- Old ones are looked for at every delivery.
CREATE INDEX outbox_events_created ON outbox_events (created_at);

-- One row for an event and a target that wants it.
CREATE TABLE outbox_deliveries (
  event_id uuid NOT NULL REFERENCES outbox_events ON DELETE CASCADE,
  target text NOT NULL,
  seq bigint NOT NULL,
  subject uuid NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
  attempts int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  claimed_by uuid,
  claimed_until timestamptz,
  last_status int,
  last_error text,
  delivered_at timestamptz,
  PRIMARY KEY (event_id, target)
);
-- By due time first: what waits after failures lies behind what can go, so a claim never walks over it.
CREATE INDEX outbox_deliveries_pending ON outbox_deliveries (target, due_at, seq) WHERE state = 'pending';
-- Not target first: then it would serve the look for what is due as well, badly.
CREATE INDEX outbox_deliveries_order ON outbox_deliveries (subject, target, seq) WHERE state = 'pending';
CREATE INDEX outbox_deliveries_dead ON outbox_deliveries (target) WHERE state = 'dead';

-- A target that failed `failures` times in a row, over all its events. After five its circuit is open: a run sends one request to see whether it
-- answers again, and syncs send none before `open_until`.
CREATE TABLE outbox_targets (
  target text PRIMARY KEY,
  failures int NOT NULL DEFAULT 0,
  open_until timestamptz,
  last_error text
);
