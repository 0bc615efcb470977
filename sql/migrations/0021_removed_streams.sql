-- Removed streams are few, and each run of the calendar looks for them.
CREATE INDEX streams_removed ON streams (service, kind) WHERE state = 'removed';
