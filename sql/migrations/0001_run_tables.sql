-- The run tables that dashboards read. They may have been made by hand: what is there stays, what is missing is added.
DO $$
DECLARE
  service text;
  successes text;
  total text;
  name text;
BEGIN
  FOREACH service IN ARRAY ARRAY['calendar', 'drive', 'gmail', 'attendee'] LOOP
    successes := CASE service WHEN 'calendar' THEN 'syncs' ELSE 'polls' END;
    total := CASE service WHEN 'drive' THEN 'total_files' WHEN 'attendee' THEN 'total_meetings' ELSE 'total_users' END;

    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), execution_id text NOT NULL)', service || '_cron_results');
    EXECUTE format(
      'ALTER TABLE %1$I ADD COLUMN IF NOT EXISTS start_time timestamptz, ADD COLUMN IF NOT EXISTS end_time timestamptz, '
      'ADD COLUMN IF NOT EXISTS %2$I int, ADD COLUMN IF NOT EXISTS %3$I int, ADD COLUMN IF NOT EXISTS %4$I int, '
      'ADD COLUMN IF NOT EXISTS total_processing_time_ms int, ADD COLUMN IF NOT EXISTS status text, '
      'ADD COLUMN IF NOT EXISTS error_message text, ADD COLUMN IF NOT EXISTS timestamp timestamptz DEFAULT now()',
      service || '_cron_results', total, 'successful_' || successes, 'failed_' || successes);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (execution_id)', service || '_cron_results_execution', service || '_cron_results');

    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), execution_id text NOT NULL)', service || '_cron_metrics');
    EXECUTE format(
      'ALTER TABLE %1$I ADD COLUMN IF NOT EXISTS %2$I int, ADD COLUMN IF NOT EXISTS %3$I int, '
      'ADD COLUMN IF NOT EXISTS total_processing_time_ms int, ADD COLUMN IF NOT EXISTS timestamp timestamptz DEFAULT now()',
      service || '_cron_metrics', 'successful_' || successes, 'failed_' || successes);
  END LOOP;

  FOREACH name IN ARRAY ARRAY['calendar_cron_summaries', 'drive_cron_summaries', 'gmail_cron_summaries', 'attendee_cron_summaries',
                              'calendar_watch_renewal_summaries', 'calendar_webhook_renewal_summaries'] LOOP
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (id uuid PRIMARY KEY DEFAULT gen_random_uuid())', name);
    EXECUTE format('ALTER TABLE %I ADD COLUMN IF NOT EXISTS summary_data jsonb, ADD COLUMN IF NOT EXISTS timestamp timestamptz DEFAULT now()', name);
  END LOOP;
END
$$;

-- One row an execution, with what the run tables have no column for. `alive_until` is the heartbeat: a running row past it is of a run that died.
CREATE TABLE runs (
  id uuid PRIMARY KEY,
  service text NOT NULL,
  job text NOT NULL,
  host text NOT NULL,
  pid int NOT NULL,
  version text NOT NULL,
  status text NOT NULL DEFAULT 'running',
  started_at timestamptz NOT NULL DEFAULT now(),
  alive_until timestamptz NOT NULL,
  ended_at timestamptz
);
CREATE INDEX runs_service_started ON runs (service, started_at);
CREATE INDEX runs_running ON runs (service) WHERE status = 'running';

-- One holder a job. A lease row, because session locks do not survive a transaction pooler.
CREATE TABLE job_locks (
  job text PRIMARY KEY,
  run_id uuid NOT NULL,
  held_until timestamptz NOT NULL
);
