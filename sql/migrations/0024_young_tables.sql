-- Of a table that it has not looked at yet, PostgreSQL takes a two-hundredth to be NULL in any column, and an index of what is not deleted for
-- a short way to any row that is not: in the first minutes of a large first sync each page read this index from end to end.
DROP INDEX calendar_events_user_start;
CREATE INDEX calendar_events_user_start ON calendar_events (user_id, start_at);
DROP INDEX gmail_messages_user_received;
CREATE INDEX gmail_messages_user_received ON gmail_messages (user_id, received_at);
