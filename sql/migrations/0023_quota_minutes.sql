-- What was reserved of the last minute's quota, second by second, so that a run right after another does not find a whole minute before it.
-- `seconds` are seconds since 1970, ascending; `units` what was reserved in each. A reservation drops those that count no longer.
CREATE TABLE quota_minutes (
  service text NOT NULL,
  subject text NOT NULL,
  seconds bigint[] NOT NULL,
  units bigint[] NOT NULL,
  PRIMARY KEY (service, subject)
);
DELETE FROM quota_usage WHERE span = 'minute';
ALTER TABLE quota_usage DROP CONSTRAINT quota_usage_span_check;
ALTER TABLE quota_usage ADD CONSTRAINT quota_usage_span_check CHECK (span IN ('hour', 'day'));
