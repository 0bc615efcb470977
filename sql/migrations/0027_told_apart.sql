-- Runs of jobs that are of no service (deliveries, tidying, reports) have no row but this one: why they failed, and what they did.
ALTER TABLE runs ADD COLUMN error_message text, ADD COLUMN summary jsonb;
