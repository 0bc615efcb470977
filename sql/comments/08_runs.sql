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
