-- # Outbox
COMMENT ON TABLE outbox_events IS 'Events for other systems, written in the transaction of the data they describe; deleted after outbox.keep.';
COMMENT ON COLUMN outbox_events.id IS 'ID of the event, also its idempotency key.';
COMMENT ON COLUMN outbox_events.seq IS 'Order in which events were written.';
COMMENT ON COLUMN outbox_events.type IS 'Type, such as drive.file.modified.';
COMMENT ON COLUMN outbox_events.subject IS
  'What the event is about; events of one subject are delivered in order. documents.id, or a UUID made of feed and item.';
COMMENT ON COLUMN outbox_events.user_id IS 'User whose data it describes (users.id).';
COMMENT ON COLUMN outbox_events.payload IS 'The event as sent; see schemas/event.json.';
COMMENT ON COLUMN outbox_events.created_at IS 'When it was written.';
COMMENT ON COLUMN outbox_events.routed IS 'Whether its deliveries have been created.';

COMMENT ON TABLE outbox_deliveries IS 'One event for one target, with its attempts.';
COMMENT ON COLUMN outbox_deliveries.event_id IS 'Event (outbox_events.id).';
COMMENT ON COLUMN outbox_deliveries.target IS 'Name of the target in the settings.';
COMMENT ON COLUMN outbox_deliveries.seq IS 'As in outbox_events.';
COMMENT ON COLUMN outbox_deliveries.subject IS 'As in outbox_events.';
COMMENT ON COLUMN outbox_deliveries.state IS 'pending; delivered; dead (given up after outbox.max_attempts).';
COMMENT ON COLUMN outbox_deliveries.attempts IS 'Attempts so far.';
COMMENT ON COLUMN outbox_deliveries.due_at IS 'When it is sent next, if pending.';
COMMENT ON COLUMN outbox_deliveries.claimed_by IS 'Process that is sending it. NULL: free.';
COMMENT ON COLUMN outbox_deliveries.claimed_until IS 'When the lease of that process lapses. NULL: free.';
COMMENT ON COLUMN outbox_deliveries.last_status IS 'HTTP status of the last answer. NULL: not attempted, or no answer.';
COMMENT ON COLUMN outbox_deliveries.last_error IS 'Error of the last attempt. NULL: not attempted, or delivered.';
COMMENT ON COLUMN outbox_deliveries.delivered_at IS 'When it was delivered. NULL: it is not.';

COMMENT ON TABLE outbox_targets IS 'Targets to which events were sent, and whether they fail.';
COMMENT ON COLUMN outbox_targets.target IS 'Name of the target in the settings.';
COMMENT ON COLUMN outbox_targets.failures IS 'Failed attempts in a row, over all events.';
COMMENT ON COLUMN outbox_targets.open_until IS 'Until when syncs skip the target after five failures. NULL: they do not.';
COMMENT ON COLUMN outbox_targets.last_error IS 'Error of the last failed attempt. NULL: none failed.';
