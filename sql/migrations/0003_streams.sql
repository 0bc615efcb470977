-- One row a feed. `cursor` moves only with the last page of a pass; between pages `page_token` and `pinned` hold the place.
CREATE TABLE streams (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  service text NOT NULL,
  kind text NOT NULL,
  resource text NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'stopped', 'degraded', 'revoked', 'removed')),
  cursor text,
  page_token text,
  pinned text,
  pass bigint,
  pass_count bigint NOT NULL DEFAULT 0,
  full_pass_at timestamptz,
  due_at timestamptz NOT NULL DEFAULT now(),
  polled_at timestamptz,
  claimed_by uuid,
  claimed_until timestamptz,
  last_run uuid,
  failures int NOT NULL DEFAULT 0,
  failed_class text,
  failed_message text,
  failed_at timestamptz,
  change_mass double precision NOT NULL DEFAULT 0,
  change_mass_at timestamptz NOT NULL DEFAULT now(),
  weight double precision NOT NULL DEFAULT 1,
  resync_day date,
  resyncs int NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (user_id, service, kind, resource)
)
-- Room for the new version of a row on its own page: a claim changes no indexed column, so it touches no index.
WITH (fillfactor = 70);
CREATE INDEX streams_due ON streams (service, due_at) WHERE state NOT IN ('removed', 'revoked');

-- Items that could not be applied. The cursor moved on without them.
CREATE TABLE quarantined_items (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream_id bigint NOT NULL REFERENCES streams ON DELETE CASCADE,
  item_id text NOT NULL,
  raw text NOT NULL,
  error text NOT NULL,
  attempts int NOT NULL DEFAULT 1,
  first_seen_at timestamptz NOT NULL DEFAULT now(),
  last_tried_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (stream_id, item_id)
);

-- What was spent of Google's quotas, shared by all hosts. `subject` is a project, or a user within it.
CREATE TABLE quota_usage (
  service text NOT NULL,
  subject text NOT NULL,
  span text NOT NULL CHECK (span IN ('minute', 'day')),
  window_start timestamptz NOT NULL,
  units bigint NOT NULL,
  PRIMARY KEY (service, subject, span, window_start)
);

-- Projects that Google told to stop until the quota's day ends.
CREATE TABLE quota_pauses (
  service text NOT NULL,
  project text NOT NULL,
  until timestamptz NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (service, project)
);
