-- How far the full pass under way has come: things named so far, by it, since it began, and how many there are where the provider says so.
ALTER TABLE streams ADD COLUMN pass_items bigint, ADD COLUMN pass_expected bigint, ADD COLUMN pass_began_at timestamptz;
-- What a run is doing, as of its last heartbeat.
ALTER TABLE runs ADD COLUMN progress jsonb;
