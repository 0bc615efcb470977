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
-- No foreign keys: whoever writes a page holds the stream's row, so the stream is there, and its user with it. A key would look that up again
-- for every row of a first sync. What goes with a stream goes by the trigger below.
CREATE TABLE calendar_events (
  stream_id bigint NOT NULL,
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
  stream_id bigint NOT NULL,
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

CREATE FUNCTION syncctl_forget_calendar() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM meetings WHERE stream_id = OLD.id;
  DELETE FROM calendar_events WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER forget_calendar AFTER DELETE ON streams FOR EACH ROW WHEN (OLD.service = 'calendar') EXECUTE FUNCTION syncctl_forget_calendar();
