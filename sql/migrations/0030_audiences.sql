-- For whom a bot may be: the event, by its iCalUID and organizer, and the circle of those who take part in it, as digests. NULL: the bot was asked
-- for by a version that gave one bot to all who had the room and the time.
ALTER TABLE attendee_bots ADD COLUMN audience text;
