CREATE TABLE calendars (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  calendar_id text NOT NULL,
  summary text,
  time_zone text,
  access_role text,
  is_primary boolean NOT NULL DEFAULT false,
  selected boolean NOT NULL DEFAULT false,
  etag text,
  raw jsonb NOT NULL,
  seen_pass bigint,
  deleted_at timestamptz,
  synced_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, calendar_id)
);

-- Events as Google gave them (`raw`) and what is asked for often. A tombstone has `deleted_at`.
-- The user comes with the stream: a second foreign key would cost a look-up for every row of a first sync and prove nothing more.
CREATE TABLE calendar_events (
  stream_id bigint NOT NULL REFERENCES streams ON DELETE CASCADE,
  event_id text NOT NULL,
  user_id uuid NOT NULL,
  calendar_id text NOT NULL,
  status text NOT NULL,
  event_type text,
  summary text,
  start_at timestamptz,
  end_at timestamptz,
  start_date date,
  end_date date,
  time_zone text,
  organizer text,
  attendees_count int NOT NULL DEFAULT 0,
  recurring_event_id text,
  original_start_at timestamptz,
  original_start_date date,
  ical_uid text,
  etag text,
  updated timestamptz,
  raw jsonb NOT NULL,
  seen_pass bigint,
  deleted_at timestamptz,
  synced_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream_id, event_id)
);
CREATE INDEX calendar_events_user_start ON calendar_events (user_id, start_at) WHERE deleted_at IS NULL;

CREATE TABLE meetings (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  stream_id bigint NOT NULL REFERENCES streams ON DELETE CASCADE,
  event_id text NOT NULL,
  title text,
  start_at timestamptz,
  end_at timestamptz,
  link text,
  link_kind text,
  bot_capable boolean NOT NULL DEFAULT false,
  detected_by text NOT NULL,
  event_status text NOT NULL,
  bot_status text NOT NULL DEFAULT 'none',
  bot_id text,
  transcript_id uuid,
  project_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (stream_id, event_id)
);
CREATE INDEX meetings_user_start ON meetings (user_id, start_at);
