-- Projects at Attendee, each with its key. `api_key` is sealed, bound to the project's id.
CREATE TABLE attendee_projects (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL UNIQUE,
  api_key bytea NOT NULL,
  is_default boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX attendee_projects_default ON attendee_projects (is_default) WHERE is_default;

-- A feed is a user's, or a project's at Attendee.
ALTER TABLE streams ALTER COLUMN user_id DROP NOT NULL,
  ADD COLUMN attendee_project uuid REFERENCES attendee_projects ON DELETE CASCADE,
  ADD CONSTRAINT streams_one_owner CHECK (num_nonnulls(user_id, attendee_project) = 1);
CREATE UNIQUE INDEX streams_attendee ON streams (attendee_project) WHERE attendee_project IS NOT NULL;

-- A bot for a meeting at one time. A row is written before its bot is asked for (`creating`), so that one whose answer was lost is found again
-- by its key. `open`: the bot is scheduled or at work. `ended`: its transcript is awaited. `settled`: nothing will change any more. `removed`:
-- taken back before it joined.
CREATE TABLE attendee_bots (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  project_id uuid NOT NULL REFERENCES attendee_projects ON DELETE CASCADE,
  -- What Attendee allows one living bot for.
  dedup_key text NOT NULL,
  state text NOT NULL DEFAULT 'creating' CHECK (state IN ('creating', 'open', 'ended', 'settled', 'removed')),
  -- Whose room it is: the link without what differs between invitations.
  room text NOT NULL,
  meeting_url text NOT NULL,
  title text,
  start_at timestamptz NOT NULL,
  end_at timestamptz,
  join_at timestamptz NOT NULL,
  bot_id text,
  -- As Attendee says.
  raw_state text,
  transcription_state text,
  raw jsonb,
  -- As `meetings.bot_status` says; NULL for a state that is not known here.
  status text,
  -- When it is looked at next.
  look_at timestamptz NOT NULL,
  ended_at timestamptz,
  -- Up to when its utterances are stored, by the clock of whoever asked.
  heard_until timestamptz,
  last_error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (project_id, dedup_key)
);
CREATE UNIQUE INDEX attendee_bots_bot ON attendee_bots (bot_id) WHERE bot_id IS NOT NULL;
CREATE INDEX attendee_bots_unsettled ON attendee_bots (project_id, look_at) WHERE state IN ('creating', 'open', 'ended');
CREATE INDEX attendee_bots_start ON attendee_bots (start_at);

-- For whom a bot is, by the occurrence of the event that wants it. `event_id`: the event, or the series that the occurrence is of;
-- `original_start`: when the series has it, the epoch for a single event. `meeting_event_id`: the event whose row in `meetings` shows it.
CREATE TABLE attendee_bot_meetings (
  bot uuid NOT NULL REFERENCES attendee_bots ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  stream_id bigint NOT NULL,
  event_id text NOT NULL,
  original_start timestamptz NOT NULL,
  meeting_event_id text NOT NULL,
  -- Why: `setting` or `address`.
  wanted_by text NOT NULL,
  PRIMARY KEY (bot, user_id, stream_id, event_id, original_start)
);
CREATE INDEX attendee_bot_meetings_event ON attendee_bot_meetings (stream_id, event_id);
CREATE INDEX attendee_bot_meetings_shown ON attendee_bot_meetings (stream_id, meeting_event_id);
CREATE INDEX attendee_bot_meetings_user ON attendee_bot_meetings (user_id);

CREATE TABLE attendee_utterances (
  bot uuid NOT NULL REFERENCES attendee_bots ON DELETE CASCADE,
  speaker_uuid text NOT NULL,
  timestamp_ms bigint NOT NULL,
  duration_ms bigint NOT NULL,
  speaker_name text,
  speaker_is_host boolean,
  text text NOT NULL,
  raw jsonb NOT NULL,
  PRIMARY KEY (bot, speaker_uuid, timestamp_ms)
);

-- `meetings.transcript_id`
CREATE TABLE attendee_transcripts (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  bot uuid NOT NULL UNIQUE REFERENCES attendee_bots ON DELETE CASCADE,
  text text NOT NULL,
  duration_ms bigint NOT NULL,
  utterances int NOT NULL,
  -- Who was there, where Attendee tells; who spoke, and for how long.
  participants jsonb NOT NULL,
  speakers jsonb NOT NULL,
  note text,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Coming meetings are looked for every few minutes: those of their own time, and every series that has begun.
ALTER TABLE meetings ADD COLUMN is_series boolean NOT NULL DEFAULT false;
UPDATE meetings m SET is_series = true FROM calendar_events e
WHERE e.stream_id = m.stream_id AND e.event_id = m.event_id AND e.raw ? 'recurrence';
CREATE INDEX meetings_start ON meetings (start_at);
CREATE INDEX meetings_series ON meetings (start_at) WHERE is_series;
