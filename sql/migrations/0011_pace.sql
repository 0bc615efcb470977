-- `weight` is a user's activity as of `weight_at`; it fades from there. What is known of a stream's changes is as of `change_mass_at`.
ALTER TABLE streams
  ADD COLUMN weight_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN change_since timestamptz NOT NULL DEFAULT now(),
  -- Whether changes come in bursts, and when in the week; absent without evidence.
  ADD COLUMN change_shape real[];
UPDATE streams SET change_since = created_at - interval '30 days';

-- What users did lately, as the application tells it. syncctl writes nothing here by itself.
CREATE TABLE user_activity (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  kind text NOT NULL,
  last_at timestamptz NOT NULL DEFAULT now(),
  times bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (user_id, kind)
);

-- The price of a poll for each project, in hours: what makes all polls together meet the budget.
CREATE TABLE pace_prices (
  service text NOT NULL,
  project text NOT NULL,
  price double precision NOT NULL,
  -- Quota units an hour that may be spent.
  budget double precision NOT NULL,
  -- Units that prices foretold, and that were spent under them, each forgotten by half in a day.
  foretold double precision NOT NULL,
  spent double precision NOT NULL,
  -- Units of the hour that went on, which are in `spent` already.
  spent_in_hour bigint NOT NULL,
  streams bigint NOT NULL,
  -- Polls an hour that this price gives.
  polls double precision NOT NULL,
  computed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (service, project)
);
-- Users whose streams alone would pass what one user may have.
CREATE TABLE pace_user_prices (
  service text NOT NULL,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  price double precision NOT NULL,
  PRIMARY KEY (service, user_id)
);
-- Which run computes them, and when it began.
CREATE TABLE pace_runs (
  service text PRIMARY KEY,
  begun_at timestamptz NOT NULL
);

-- Hours too, for what polls spent: beside first syncs and resyncs.
ALTER TABLE quota_usage DROP CONSTRAINT quota_usage_span_check;
ALTER TABLE quota_usage ADD CONSTRAINT quota_usage_span_check CHECK (span IN ('minute', 'hour', 'day'));

-- Mailboxes with mail to a virtual address lately are looked at more often.
CREATE INDEX gmail_detections_at ON gmail_detections (detected_at);

-- When a series takes place next: calendars with a meeting soon are looked at more often.
ALTER TABLE meetings ADD COLUMN next_start_at timestamptz;
UPDATE meetings SET next_start_at = start_at WHERE is_series;
CREATE INDEX meetings_next ON meetings (next_start_at) WHERE is_series;

-- One row a run of all services.
CREATE TABLE sync_cron_summaries (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  summary_data jsonb,
  timestamp timestamptz DEFAULT now()
);
