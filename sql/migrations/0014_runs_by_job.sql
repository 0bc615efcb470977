-- How a job went last, without reading the runs of months: `metrics` asks every minute.
CREATE INDEX runs_job_started ON runs (job, started_at);
