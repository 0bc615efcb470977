-- Run tables are read and pruned by time, and a single run by its id, without a walk through the months before. Tables that were made by hand may
-- have such indexes already.
DO $$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT service || '_cron_results' AS name, 'start_time' AS key FROM unnest(ARRAY['calendar', 'drive', 'gmail', 'attendee']) AS service
    UNION ALL SELECT service || '_cron_metrics', key
      FROM unnest(ARRAY['calendar', 'drive', 'gmail', 'attendee']) AS service, unnest(ARRAY['timestamp', 'execution_id']) AS key
    UNION ALL SELECT name, 'timestamp' FROM unnest(ARRAY['calendar_cron_summaries', 'drive_cron_summaries', 'gmail_cron_summaries',
      'attendee_cron_summaries', 'calendar_watch_renewal_summaries', 'calendar_webhook_renewal_summaries', 'sync_cron_summaries']) AS name
    UNION ALL SELECT 'runs', 'started_at'
  LOOP
    CONTINUE WHEN EXISTS (
      SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
      WHERE i.indrelid = wanted.name::regclass AND a.attname = wanted.key AND i.indpred IS NULL);
    EXECUTE format('CREATE INDEX %I ON %I (%I)', wanted.name || '_' || wanted.key, wanted.name, wanted.key);
  END LOOP;

  FOR wanted IN
    SELECT name FROM unnest(ARRAY['calendar_cron_summaries', 'drive_cron_summaries', 'gmail_cron_summaries', 'attendee_cron_summaries',
      'calendar_watch_renewal_summaries', 'calendar_webhook_renewal_summaries', 'sync_cron_summaries']) AS name
  LOOP
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I ((summary_data ->> ''execution_id''))', wanted.name || '_execution', wanted.name);
  END LOOP;
END
$$;
