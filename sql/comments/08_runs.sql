-- # Runs
COMMENT ON TABLE runs IS 'Every run of every job, also those that found nothing, were skipped, or died.';
COMMENT ON COLUMN runs.id IS 'execution_id in the tables below.';
COMMENT ON COLUMN runs.service IS 'calendar, drive, gmail, attendee or classify; syncctl: a job of none of them.';
COMMENT ON COLUMN runs.job IS 'Such as calendar cron, deliver or db prune.';
COMMENT ON COLUMN runs.host IS 'Host on which it ran.';
COMMENT ON COLUMN runs.pid IS 'Process ID on that host.';
COMMENT ON COLUMN runs.version IS 'Version of syncctl.';
COMMENT ON COLUMN runs.status IS
  'running; completed; partial (some failed or wait); failed; paused (daily quota); skipped (another run); abandoned (process died).';
COMMENT ON COLUMN runs.started_at IS 'When it began.';
COMMENT ON COLUMN runs.alive_until IS 'Until when the last heartbeat is valid: a running row past it is of a process that died.';
COMMENT ON COLUMN runs.ended_at IS 'When it ended, or was found to have died. NULL: running.';
COMMENT ON COLUMN runs.progress IS 'Number of streams by state, as of the last heartbeat. NULL: no heartbeat yet.';
COMMENT ON COLUMN runs.error_message IS 'Why it failed; only of jobs of no service. NULL: it did not.';
COMMENT ON COLUMN runs.summary IS 'What it did; only of jobs of no service. NULL: running, or of a service.';

COMMENT ON TABLE calendar_cron_results IS 'Result of each run of this service.';
COMMENT ON TABLE drive_cron_results IS 'Result of each run of this service.';
COMMENT ON TABLE gmail_cron_results IS 'Result of each run of this service.';
COMMENT ON TABLE attendee_cron_results IS 'Result of each run of this service.';
COMMENT ON TABLE classify_cron_results IS 'Result of each run of this service.';
COMMENT ON TABLE calendar_cron_metrics IS 'Figures of each run of this service that has ended.';
COMMENT ON TABLE drive_cron_metrics IS 'Figures of each run of this service that has ended.';
COMMENT ON TABLE gmail_cron_metrics IS 'Figures of each run of this service that has ended.';
COMMENT ON TABLE attendee_cron_metrics IS 'Figures of each run of this service that has ended.';
COMMENT ON TABLE classify_cron_metrics IS 'Figures of each run of this service that has ended.';
COMMENT ON TABLE calendar_cron_summaries IS 'Calls, retries, error classes and latencies of each run of this service that has ended.';
COMMENT ON TABLE drive_cron_summaries IS 'Calls, retries, error classes and latencies of each run of this service that has ended.';
COMMENT ON TABLE gmail_cron_summaries IS 'Calls, retries, error classes and latencies of each run of this service that has ended.';
COMMENT ON TABLE attendee_cron_summaries IS 'Calls, retries, error classes and latencies of each run of this service that has ended.';
COMMENT ON TABLE classify_cron_summaries IS 'Calls, retries, error classes and latencies of each run of this service that has ended.';
COMMENT ON TABLE calendar_watch_renewal_summaries IS 'The same for calendar renew-watches.';
COMMENT ON TABLE calendar_webhook_renewal_summaries IS 'The same for calendar renew-webhooks.';
COMMENT ON TABLE sync_cron_summaries IS 'Summary of each sync cron over all services.';

-- The same columns exist once for each service.
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT c.relname, t.name, t.comment
    FROM (VALUES
      ('id', 'ID of the row.'),
      ('execution_id', 'Run, as in runs.id.'),
      ('start_time', 'When the run began.'),
      ('end_time', 'When the run ended. NULL: running.'),
      ('total_users', 'Number of users polled.'),
      ('total_files', 'Number of files that the polled users follow.'),
      ('total_meetings', 'Number of bots or meetings that the run dealt with.'),
      ('successful_syncs', 'Users whose polls succeeded.'),
      ('successful_polls', 'Users, files or meetings whose polls succeeded.'),
      ('failed_syncs', 'Users whose polls failed.'),
      ('failed_polls', 'Users, files or meetings whose polls failed.'),
      ('total_processing_time_ms', 'Duration of the run in ms. NULL: running.'),
      ('status', 'As in runs.status. Other programs may have written words of their own.'),
      ('error_message', 'Why the run failed. NULL: it did not.'),
      ('summary_data', 'Summary, with execution_id, job and status.'),
      ('timestamp', 'When the row was written.')
    ) AS t (name, comment)
    JOIN pg_attribute a ON a.attname = t.name AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND c.relkind IN ('r', 'p')
      AND pg_has_role(c.relowner, 'USAGE')
      AND c.relname ~ '^((calendar|drive|gmail|attendee|classify|sync)_cron_(results|metrics|summaries)|calendar_(watch|webhook)_renewal_summaries)$'
  LOOP
    EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', found.relname, found.name, found.comment);
  END LOOP;
END
$$;
