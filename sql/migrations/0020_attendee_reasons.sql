-- Why a bot is where it is, as Attendee says (`events[].type` and `sub_type`): `could_not_join_meeting: waiting_room_timeout_exceeded`.
ALTER TABLE attendee_bots ADD COLUMN reason text;

-- Why a meeting has no bot, or why its bot failed.
ALTER TABLE meetings ADD COLUMN bot_reason text;

-- One speaker can say two things in the same millisecond, and Attendee gives utterances no id: they are counted within speaker and time.
ALTER TABLE attendee_utterances ADD COLUMN nth int NOT NULL DEFAULT 0;
ALTER TABLE attendee_utterances DROP CONSTRAINT attendee_utterances_pkey;
ALTER TABLE attendee_utterances ADD PRIMARY KEY (bot, speaker_uuid, timestamp_ms, nth);
