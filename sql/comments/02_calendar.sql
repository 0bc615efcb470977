-- # Calendar
COMMENT ON TABLE calendars IS 'Calendars in each user''s list (calendarList.list).';
COMMENT ON COLUMN calendars.user_id IS 'User whose list it is (users.id).';
COMMENT ON COLUMN calendars.calendar_id IS 'calendarList: id. The primary calendar has the user''s address.';
COMMENT ON COLUMN calendars.summary IS 'Name. calendarList: summary.';
COMMENT ON COLUMN calendars.time_zone IS 'IANA time zone in which all-day events begin and end. calendarList: timeZone.';
COMMENT ON COLUMN calendars.access_role IS 'What the user may do: freeBusyReader, reader, writer or owner. calendarList: accessRole.';
COMMENT ON COLUMN calendars.is_primary IS 'Whether it is the user''s primary calendar. calendarList: primary.';
COMMENT ON COLUMN calendars.selected IS 'Whether the user shows it in Google Calendar. calendarList: selected.';
COMMENT ON COLUMN calendars.etag IS 'calendarList: etag.';
COMMENT ON COLUMN calendars.raw IS 'The entry as received.';
COMMENT ON COLUMN calendars.seen_pass IS 'Last full pass that listed it, as in streams.pass. NULL: only changes did.';
COMMENT ON COLUMN calendars.deleted_at IS 'When it was found to be removed from the list. NULL: it is listed.';
COMMENT ON COLUMN calendars.synced_at IS 'When the row was last written.';

COMMENT ON TABLE calendar_events IS
  'Events: single ones, series, and exceptions of series (events.list, events.get). For each occurrence see calendar_instances.';
COMMENT ON COLUMN calendar_events.stream_id IS 'Feed of the calendar (streams.id).';
COMMENT ON COLUMN calendar_events.event_id IS 'events: id. That of an exception is the ID of its series with the original start.';
COMMENT ON COLUMN calendar_events.user_id IS 'User in whose list the calendar is (users.id).';
COMMENT ON COLUMN calendar_events.calendar_id IS 'Calendar of this user (calendars.calendar_id).';
COMMENT ON COLUMN calendar_events.status IS 'confirmed, tentative, or cancelled (a tombstone). events: status.';
COMMENT ON COLUMN calendar_events.event_type IS
  'default, outOfOffice, focusTime, workingLocation, fromGmail or birthday. events: eventType. NULL: not sent.';
COMMENT ON COLUMN calendar_events.summary IS 'Title. events: summary. NULL: it has none, or only free or busy is visible.';
COMMENT ON COLUMN calendar_events.start_at IS 'Start; of a series, that of its first occurrence. events: start.dateTime. NULL: an all-day event.';
COMMENT ON COLUMN calendar_events.end_at IS 'End, exclusive. events: end.dateTime. NULL: an all-day event, or no end.';
COMMENT ON COLUMN calendar_events.start_date IS 'First day of an all-day event. events: start.date. NULL: it has times.';
COMMENT ON COLUMN calendar_events.end_date IS 'Day after the last day of an all-day event. events: end.date. NULL: it has times, or no end.';
COMMENT ON COLUMN calendar_events.time_zone IS 'IANA time zone of the start, in which a series recurs. events: start.timeZone. NULL: not sent.';
COMMENT ON COLUMN calendar_events.organizer IS 'Address. events: organizer.email. NULL: not sent.';
COMMENT ON COLUMN calendar_events.attendees_count IS 'Number of attendees listed, rooms and the user included. events: attendees.';
COMMENT ON COLUMN calendar_events.recurring_event_id IS 'Series that this is an exception of (calendar_events.event_id). events: recurringEventId. NULL: none.';
COMMENT ON COLUMN calendar_events.original_start_at IS
  'Start that an exception had in its series. events: originalStartTime.dateTime. NULL: all-day, or no exception.';
COMMENT ON COLUMN calendar_events.original_start_date IS
  'Day that an all-day exception had in its series. events: originalStartTime.date. NULL: not such an exception.';
COMMENT ON COLUMN calendar_events.ical_uid IS 'The same for an event in all calendars and for all events of a series. events: iCalUID.';
COMMENT ON COLUMN calendar_events.etag IS 'events: etag. NULL: the next full pass rewrites the row.';
COMMENT ON COLUMN calendar_events.updated IS 'When it last changed at Google. events: updated. Can go back. NULL: not sent.';
COMMENT ON COLUMN calendar_events.raw IS 'The event as received; that of a tombstone is the last known one.';
COMMENT ON COLUMN calendar_events.unread IS 'Fields of raw that could not be read and count as absent; recurrence: the rules of the series. NULL: none.';
COMMENT ON COLUMN calendar_events.cancels_occurrence IS 'The exception cancels an occurrence of its series.';
COMMENT ON COLUMN calendar_events.seen_pass IS 'Last full pass that listed it, as in streams.pass. NULL: only changes did.';
COMMENT ON COLUMN calendar_events.deleted_at IS 'When its deletion was found. NULL: it exists.';
COMMENT ON COLUMN calendar_events.synced_at IS 'When its content last changed here.';
COMMENT ON COLUMN calendar_events.changed_xid IS 'Transaction that last changed the row, for changes_since. NULL: changed before there was this column.';

COMMENT ON TABLE calendar_instances IS
  'When events take place: single events, and each occurrence of a series in a rolling window (calendar.instances_past to instances_future).';
COMMENT ON COLUMN calendar_instances.user_id IS 'User in whose calendar it is (users.id).';
COMMENT ON COLUMN calendar_instances.stream_id IS 'Feed of the calendar (streams.id).';
COMMENT ON COLUMN calendar_instances.instance_id IS 'As events.instances names it: the event''s ID, or that of the series with the original start.';
COMMENT ON COLUMN calendar_instances.event_id IS 'Single event, series or exception that it takes its data from (calendar_events.event_id).';
COMMENT ON COLUMN calendar_instances.series_id IS 'Series, also of an exception. NULL: a single event.';
COMMENT ON COLUMN calendar_instances.during IS
  'Start to end; the end is exclusive unless it takes no time. All-day: from midnight to midnight in the calendar''s time zone.';
COMMENT ON COLUMN calendar_instances.all_day IS 'Whether it is given in days.';
COMMENT ON COLUMN calendar_instances.start_date IS 'First day of an all-day occurrence. NULL: it has times.';
COMMENT ON COLUMN calendar_instances.end_date IS 'Day after the last day of an all-day occurrence. NULL: it has times.';
COMMENT ON COLUMN calendar_instances.busy IS 'It blocks the owner''s time: neither shown as free (events: transparency) nor declined.';
COMMENT ON COLUMN calendar_instances.response IS
  'Owner''s response: needsAction, declined, tentative or accepted. events: attendees[].responseStatus. NULL: not an attendee.';
COMMENT ON COLUMN calendar_instances.title IS 'Title of the event it takes its data from. events: summary. NULL: none.';

COMMENT ON VIEW my_agenda IS 'What the calendars of each user show: every occurrence in the window, with details of its event.';
COMMENT ON COLUMN my_agenda.email IS 'Address of the user.';
COMMENT ON COLUMN my_agenda.calendar IS 'Name of the calendar.';
COMMENT ON COLUMN my_agenda.event_id IS 'Single event, series or exception that it takes its data from (calendar_events.event_id).';
COMMENT ON COLUMN my_agenda.start_at IS 'Start; of an all-day event, midnight in the calendar''s time zone.';
COMMENT ON COLUMN my_agenda.end_at IS 'End, exclusive; of an all-day event, midnight in the calendar''s time zone.';
COMMENT ON COLUMN my_agenda.status IS 'confirmed or tentative. events: status.';
COMMENT ON COLUMN my_agenda.location IS 'events: location. NULL: none.';
COMMENT ON COLUMN my_agenda.meet_link IS 'Link to Google Meet. events: hangoutLink. NULL: none.';
COMMENT ON COLUMN my_agenda.html_link IS 'Link to the event in Google Calendar. events: htmlLink. NULL: not sent.';
COMMENT ON COLUMN my_agenda.is_primary IS 'Whether it is the user''s primary calendar.';
COMMENT ON COLUMN my_agenda.ical_uid IS 'ID of the meeting in all calendars, the same for all occurrences of a series. events: iCalUID.';

COMMENT ON VIEW busy IS
  'When users are not free: events of their primary calendars that take time and are neither shown as free nor declined. The spans can overlap.';
COMMENT ON COLUMN busy.email IS 'Address of the user.';
COMMENT ON COLUMN busy.event_id IS 'Single event, series or exception that it takes its data from (calendar_events.event_id).';

COMMENT ON VIEW meeting_attendees IS
  'Attendees of each occurrence, one row each, once for each calendar it is in: count distinct (ical_uid, original_start).';
COMMENT ON COLUMN meeting_attendees.event_id IS 'Single event, series or exception that it takes its data from (calendar_events.event_id).';
COMMENT ON COLUMN meeting_attendees.original_start IS 'Start that an exception had in its series; otherwise the start. With ical_uid, the meeting.';
COMMENT ON COLUMN meeting_attendees.email IS 'Address of the attendee, in lower case. events: attendees[].email. NULL: hidden.';
COMMENT ON COLUMN meeting_attendees.name IS 'events: attendees[].displayName. NULL: not sent.';
COMMENT ON COLUMN meeting_attendees.response IS 'Response of the attendee: needsAction, declined, tentative or accepted. events: attendees[].responseStatus.';
COMMENT ON COLUMN meeting_attendees.is_self IS 'The attendee is the owner of this calendar. events: attendees[].self.';
COMMENT ON COLUMN meeting_attendees.is_organizer IS 'events: attendees[].organizer.';
COMMENT ON COLUMN meeting_attendees.is_optional IS 'events: attendees[].optional.';
COMMENT ON COLUMN meeting_attendees.is_room IS 'The attendee is a room or other resource. events: attendees[].resource.';
COMMENT ON COLUMN meeting_attendees.user_email IS 'Address of the user whose calendar it is.';

COMMENT ON TABLE calendar_windows IS 'The span of each calendar''s occurrences in calendar_instances.';
COMMENT ON COLUMN calendar_windows.stream_id IS 'Feed of the calendar (streams.id).';
COMMENT ON COLUMN calendar_windows.user_id IS 'User in whose list the calendar is (users.id).';
COMMENT ON COLUMN calendar_windows.covered IS 'Span whose occurrences are stored. NULL: not computed yet.';
COMMENT ON COLUMN calendar_windows.listed IS 'Span of the last full pass, of which Google reports all changes. NULL: none has ended yet.';
COMMENT ON COLUMN calendar_windows.time_zone IS 'Time zone with which all-day occurrences were computed, as of calendars.time_zone.';
COMMENT ON COLUMN calendar_windows.rebuilt_to IS 'Instances are being computed for all events, by ID, up to this one. NULL: complete.';

COMMENT ON TABLE meetings IS 'Events that are meetings, by links, attendees or titles, and their bots. Series have one row.';
COMMENT ON COLUMN meetings.id IS 'ID of the meeting.';
COMMENT ON COLUMN meetings.user_id IS 'User in whose calendar it is (users.id).';
COMMENT ON COLUMN meetings.stream_id IS 'Feed of the calendar (streams.id).';
COMMENT ON COLUMN meetings.event_id IS 'Event (calendar_events.event_id).';
COMMENT ON COLUMN meetings.title IS 'events: summary. NULL: none.';
COMMENT ON COLUMN meetings.start_at IS 'Start; of a series, that of its first occurrence. NULL: an all-day event.';
COMMENT ON COLUMN meetings.end_at IS 'End, exclusive. NULL: an all-day event, or no end.';
COMMENT ON COLUMN meetings.link IS 'Link to join, from conferenceData, hangoutLink, location or description of the event. NULL: none.';
COMMENT ON COLUMN meetings.link_kind IS 'google_meet, zoom, teams, webex, jitsi, whereby, discord or other. NULL: no link.';
COMMENT ON COLUMN meetings.bot_capable IS 'Whether a bot can join by the link.';
COMMENT ON COLUMN meetings.detected_by IS 'Rule: conference, hangout_link, location, description, attendees or title.';
COMMENT ON COLUMN meetings.event_status IS 'confirmed, tentative or cancelled. Cancelled meetings stay if they have a bot, a transcript or a project.';
COMMENT ON COLUMN meetings.bot_status IS
  'none, bot_scheduled, bot_joined, transcribing, post_processing, completed or failed; or a state that is new at Attendee.';
COMMENT ON COLUMN meetings.bot_id IS 'Attendee''s ID of the bot, of a series that of the current or next one (attendee_bots.bot_id). NULL: none.';
COMMENT ON COLUMN meetings.bot_reason IS 'Why there is no bot, or why it failed. NULL: nothing to report.';
COMMENT ON COLUMN meetings.transcript_id IS 'Last transcript (attendee_transcripts.id). NULL: none.';
COMMENT ON COLUMN meetings.project_id IS 'Project for the documents of its transcripts, set by your application. NULL: none.';
COMMENT ON COLUMN meetings.is_series IS 'Whether the event is a series.';
COMMENT ON COLUMN meetings.next_start_at IS 'Next occurrence of a series, used for polling. NULL: a single meeting, or no further occurrence known.';
COMMENT ON COLUMN meetings.confirmed_at IS 'When it was last looked up by ID before its bot joins (events.get). NULL: never.';
COMMENT ON COLUMN meetings.created_at IS 'When it was detected.';
COMMENT ON COLUMN meetings.updated_at IS 'When the row last changed.';
COMMENT ON COLUMN meetings.changed_xid IS 'Transaction that last changed the row, for changes_since. NULL: changed before there was this column.';

COMMENT ON TABLE deleted_meetings IS 'Meetings whose rows were deleted, for readers of changes.';
COMMENT ON COLUMN deleted_meetings.id IS 'ID that the meeting had.';
COMMENT ON COLUMN deleted_meetings.user_id IS 'User in whose calendar it was (users.id).';
COMMENT ON COLUMN deleted_meetings.stream_id IS 'Feed of the calendar (streams.id).';
COMMENT ON COLUMN deleted_meetings.event_id IS 'Event (calendar_events.event_id).';
COMMENT ON COLUMN deleted_meetings.deleted_at IS 'When the row was deleted.';
COMMENT ON COLUMN deleted_meetings.changed_xid IS 'Transaction that deleted it, for changes_since.';

COMMENT ON FUNCTION syncctl_forget_calendar() IS 'Trigger of streams: deletes the events, occurrences and meetings of a deleted calendar feed.';
COMMENT ON FUNCTION syncctl_note_deleted_meetings() IS 'Trigger of meetings: records deleted rows in deleted_meetings.';
