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
      AND c.relname ~ '^((calendar|drive|gmail|attendee|classify|sync)_cron_(results|metrics|summaries)|calendar_(watch|webhook)_renewal_summaries)$'
  LOOP
    EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', found.relname, found.name, found.comment);
  END LOOP;
END
$$;
