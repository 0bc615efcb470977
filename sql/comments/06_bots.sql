-- # Meeting bots
COMMENT ON TABLE attendee_projects IS 'Projects at Attendee, each with its API key.';
COMMENT ON COLUMN attendee_projects.id IS 'ID within syncctl.';
COMMENT ON COLUMN attendee_projects.name IS 'Name in commands and users'' settings.';
COMMENT ON COLUMN attendee_projects.api_key IS 'API key. Sealed; the readonly role cannot read it.';
COMMENT ON COLUMN attendee_projects.is_default IS 'Whether users without a project of their own get its bots. At most one.';
COMMENT ON COLUMN attendee_projects.created_at IS 'When it was added.';

COMMENT ON TABLE attendee_bots IS 'Bots, each for a room at a time and the people of one event.';
COMMENT ON COLUMN attendee_bots.id IS 'ID within syncctl.';
COMMENT ON COLUMN attendee_bots.project_id IS 'Project at Attendee (attendee_projects.id).';
COMMENT ON COLUMN attendee_bots.dedup_key IS 'Attendee allows one active bot with this key. bots: deduplication_key.';
COMMENT ON COLUMN attendee_bots.state IS
  'creating (requested); open (scheduled or in the meeting); ended (transcript awaited); settled (final); removed (before it joined).';
COMMENT ON COLUMN attendee_bots.room IS 'The link without what differs between invitations.';
COMMENT ON COLUMN attendee_bots.meeting_url IS 'Link by which it joins. bots: meeting_url.';
COMMENT ON COLUMN attendee_bots.title IS 'Title of the meeting. NULL: none.';
COMMENT ON COLUMN attendee_bots.start_at IS 'When the meeting begins.';
COMMENT ON COLUMN attendee_bots.end_at IS 'When the meeting is to end. NULL: not known.';
COMMENT ON COLUMN attendee_bots.join_at IS 'When the bot joins.';
COMMENT ON COLUMN attendee_bots.bot_id IS 'bots: id. NULL: Attendee has not answered yet.';
COMMENT ON COLUMN attendee_bots.raw_state IS 'bots: state. NULL: not received yet.';
COMMENT ON COLUMN attendee_bots.transcription_state IS 'bots: transcription_state. NULL: not sent.';
COMMENT ON COLUMN attendee_bots.raw IS 'The bot as received. NULL: not received yet.';
COMMENT ON COLUMN attendee_bots.status IS 'As in meetings.bot_status. NULL: not received yet.';
COMMENT ON COLUMN attendee_bots.look_at IS 'When it is polled next.';
COMMENT ON COLUMN attendee_bots.ended_at IS 'When it was found to have ended. NULL: it has not.';
COMMENT ON COLUMN attendee_bots.heard_until IS 'Up to when its utterances are stored, by the clock of the polling host. NULL: none were polled.';
COMMENT ON COLUMN attendee_bots.reason IS 'Why it failed or may not record: type and sub_type of its last such event. bots: events. NULL: neither.';
COMMENT ON COLUMN attendee_bots.last_error IS 'Last error, or why there is no transcript. NULL: none.';
COMMENT ON COLUMN attendee_bots.audience IS 'Digests of the event and of the users who share the bot. NULL: requested by an early version.';
COMMENT ON COLUMN attendee_bots.created_at IS 'When it was requested.';
COMMENT ON COLUMN attendee_bots.updated_at IS 'When the row last changed.';

COMMENT ON TABLE attendee_bot_meetings IS 'For whom a bot is: users, and the occurrence of the event for which each wants it.';
COMMENT ON COLUMN attendee_bot_meetings.bot IS 'Bot (attendee_bots.id).';
COMMENT ON COLUMN attendee_bot_meetings.user_id IS 'User (users.id).';
COMMENT ON COLUMN attendee_bot_meetings.stream_id IS 'Feed of the calendar (streams.id).';
COMMENT ON COLUMN attendee_bot_meetings.event_id IS 'Single event or series (calendar_events.event_id).';
COMMENT ON COLUMN attendee_bot_meetings.original_start IS 'Start of the occurrence in its series; 1970-01-01 for a single event.';
COMMENT ON COLUMN attendee_bot_meetings.meeting_event_id IS 'Event whose meeting shows the bot (meetings.event_id).';
COMMENT ON COLUMN attendee_bot_meetings.wanted_by IS 'setting (all meetings of the user) or address (a virtual address is invited).';

COMMENT ON TABLE attendee_utterances IS 'What was said, as Attendee transcribed it (bots/{id}/transcript).';
COMMENT ON COLUMN attendee_utterances.bot IS 'Bot (attendee_bots.id).';
COMMENT ON COLUMN attendee_utterances.speaker_uuid IS 'Speaker; names need not be unique. transcript: speaker_uuid. Empty: not sent.';
COMMENT ON COLUMN attendee_utterances.timestamp_ms IS 'Start, in ms. transcript: timestamp_ms.';
COMMENT ON COLUMN attendee_utterances.nth IS 'Number of the utterance among those of this speaker at this time, from 0.';
COMMENT ON COLUMN attendee_utterances.duration_ms IS 'Length in ms. transcript: duration_ms.';
COMMENT ON COLUMN attendee_utterances.speaker_name IS 'transcript: speaker_name. NULL: not sent.';
COMMENT ON COLUMN attendee_utterances.speaker_is_host IS 'transcript: speaker_is_host. NULL: not sent.';
COMMENT ON COLUMN attendee_utterances.text IS 'transcript: transcription.transcript.';
COMMENT ON COLUMN attendee_utterances.raw IS 'The utterance as received.';

COMMENT ON TABLE attendee_transcripts IS 'Transcripts of meetings as text, one for each bot that heard something.';
COMMENT ON COLUMN attendee_transcripts.id IS 'ID of the transcript.';
COMMENT ON COLUMN attendee_transcripts.bot IS 'Bot (attendee_bots.id).';
COMMENT ON COLUMN attendee_transcripts.text IS 'A line for each paragraph of a speaker: [hh:mm:ss since the first utterance] name: text.';
COMMENT ON COLUMN attendee_transcripts.duration_ms IS 'From the first utterance to the end of the last, in ms.';
COMMENT ON COLUMN attendee_transcripts.utterances IS 'Number of utterances.';
COMMENT ON COLUMN attendee_transcripts.participants IS 'Who was there: [{name, uuid, is_host}] (bots/{id}/participants). Empty: not sent.';
COMMENT ON COLUMN attendee_transcripts.speakers IS 'Who spoke: [{name, uuid, is_host, utterances, duration_ms}], in the order in which they first did.';
COMMENT ON COLUMN attendee_transcripts.note IS 'Why something may be missing. NULL: nothing is.';
COMMENT ON COLUMN attendee_transcripts.created_at IS 'When it was first written.';
