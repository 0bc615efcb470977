-- Fields of an event that could not be read and count as absent; `recurrence`: nobody can tell when the series takes place.
ALTER TABLE calendar_events ADD COLUMN unread text[];
CREATE INDEX calendar_events_unread ON calendar_events (user_id) WHERE unread IS NOT NULL AND deleted_at IS NULL;

-- When Google was last asked for this very meeting, by its id: a sync token need not tell that an event has left the token's window.
ALTER TABLE meetings ADD COLUMN confirmed_at timestamptz;

-- Series that could not be read so far are looked at once more.
UPDATE meetings SET next_start_at = start_at WHERE is_series AND next_start_at IS NULL;

-- Events of calendars that are not followed any more were left standing.
UPDATE calendar_events e SET status = 'cancelled', deleted_at = now(), synced_at = now()
FROM streams s WHERE s.id = e.stream_id AND s.service = 'calendar' AND s.state = 'removed' AND e.deleted_at IS NULL;
DELETE FROM meetings m USING streams s
WHERE s.id = m.stream_id AND s.state = 'removed' AND m.bot_id IS NULL AND m.transcript_id IS NULL AND m.project_id IS NULL;
UPDATE meetings m SET event_status = 'cancelled', updated_at = now()
FROM streams s WHERE s.id = m.stream_id AND s.state = 'removed' AND m.event_status <> 'cancelled';
