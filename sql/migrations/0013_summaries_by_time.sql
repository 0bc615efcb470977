-- How long changes waited in the last day, without reading the summaries of months: `status` adds them up. Tables that were made by hand, or
-- by another migration, may have such an index.
DO $$
DECLARE
  service text;
  summaries text;
BEGIN
  FOREACH service IN ARRAY ARRAY['calendar', 'drive', 'gmail', 'attendee'] LOOP
    summaries := service || '_cron_summaries';
    CONTINUE WHEN EXISTS (
      SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
      WHERE i.indrelid = summaries::regclass AND a.attname = 'timestamp');
    EXECUTE format('CREATE INDEX %I ON %I (timestamp)', summaries || '_timestamp', summaries);
  END LOOP;
END
$$;
