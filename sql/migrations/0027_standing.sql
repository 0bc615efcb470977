-- Since when a stream fails, in a row: the next try waits for a part of that time. Holds only while `failures` > 0.
ALTER TABLE streams ADD COLUMN failing_since timestamptz;
UPDATE streams SET failing_since = failed_at WHERE failures > 0;

-- The full pass that put an item into quarantine: what a later pass did not name is not there any more. Of a pass that is under way it is not
-- known which items it has put there, so that all are taken for its own.
ALTER TABLE quarantined_items ADD COLUMN seen_pass bigint;
UPDATE quarantined_items q SET seen_pass = s.pass FROM streams s WHERE s.id = q.stream_id AND s.pass IS NOT NULL;

-- Calendars that were refused once are asked again by the next run, before anything of them is buried.
UPDATE streams SET failed_at = failed_at - interval '1 day'
WHERE service = 'calendar' AND kind = 'events' AND state = 'removed' AND failures = 1;
