"""The checks themselves: each kind of mistake is found and located."""
import unittest

import discovery

EVENTS = "/calendar/v3/calendars/primary/events"
CALENDAR = ["https://www.googleapis.com/auth/calendar.readonly"]
EVENT = {
    "kind": "calendar#event",
    "etag": '"1"',
    "id": "one",
    "status": "confirmed",
    "htmlLink": "https://calendar.example.com/one",
    "created": "2026-11-02T10:00:00.000Z",
    "updated": "2026-11-02T10:00:00.000Z",
    "creator": {"email": "ann@example.com"},
    "organizer": {"email": "ann@example.com"},
    "start": {"date": "2026-11-02"},
    "end": {"date": "2026-11-03"},
    "iCalUID": "one@example.com",
    "sequence": 0,
    "eventType": "default",
    "reminders": {"useDefault": True},
}


def request(path, query="", verb="GET", body="", scopes=CALENDAR):
    method = discovery.find(verb, path)
    return discovery.judge_request(method, path, query, body, scopes)


class Requests(unittest.TestCase):
    def test_the_method_is_found_by_verb_and_path(self):
        for verb, path, expected in (
            ("GET", EVENTS, "calendar.events.list"),
            ("POST", f"{EVENTS}/watch", "calendar.events.watch"),
            ("GET", "/calendar/v3/calendars/a%23b%40c/events/one", "calendar.events.get"),
            ("GET", "/drive/v3/changes/startPageToken", "drive.changes.getStartPageToken"),
            ("GET", "/drive/v3/files/generateIds", "drive.files.generateIds"),
            ("GET", "/gmail/v1/users/me/messages/1f", "gmail.users.messages.get"),
        ):
            self.assertEqual(discovery.find(verb, path).id, expected)
        for verb, path in (("GET", f"{EVENTS}/one/two"), ("PUT", EVENTS), ("GET", "/calendar/v3/event")):
            self.assertIsNone(discovery.find(verb, path))

    def test_a_good_request_has_no_problem(self):
        query = "maxResults=2500&showDeleted=true&timeMin=2026-01-01T00%3A00%3A00Z&fields=nextPageToken,items(id,start/dateTime,attendees(email))"
        self.assertEqual(request(EVENTS, query), [])
        channel = '{"id": "a", "type": "web_hook", "address": "https://example.com", "expiration": "1793613600000"}'
        self.assertEqual(request(f"{EVENTS}/watch", verb="POST", body=channel), [])

    def test_each_mistake_is_named(self):
        for query, expected in (
            ("maxresults=1", "there is no query parameter maxresults"),
            ("calendarId=x", "there is no query parameter calendarId"),
            ("maxResults=2501", "maxResults=2501 is not within 1 and 2500"),
            ("maxResults=0", "maxResults=0 is not within 1 and 2500"),
            ("maxResults=many", "maxResults=many is no integer (int32)"),
            ("showDeleted=1", "showDeleted=1 is no boolean"),
            ("timeMin=2026-01-01", "timeMin=2026-01-01 is no string (date-time)"),
            ("pageToken=a&pageToken=b", "the parameter pageToken comes 2 times"),
            ("fields=items(id,begin)", "fields: the answer has no items/begin"),
            ("fields=items/start/dateTime/x", "fields: the answer has no items/start/dateTime/x"),
            ("fields=items(id", "fields: a parenthesis is open in 'items(id'"),
            ("alt=media", "alt=media: the method gives no content"),
        ):
            self.assertIn(expected, request(EVENTS, query))
        self.assertTrue(any("orderBy=size is none of" in problem for problem in request(EVENTS, "orderBy=size")))
        self.assertIn("the parameter pageToken is missing", request("/drive/v3/changes", "pageSize=1"))
        self.assertIn("the parameter supportsTeamDrives is deprecated", request("/drive/v3/files/x", "supportsTeamDrives=true"))
        self.assertIn("none of the token's scopes", request(EVENTS, scopes=["https://www.googleapis.com/auth/drive"])[0])
        self.assertEqual(request(f"{EVENTS}/watch", verb="POST", body='{"id": 1, "typ": "web_hook"}'), ["body.id: 1 is no string", "body: there is no field typ"])

    def test_the_largest_pages_are_those_of_the_documents(self):
        largest = {"calendar.calendarList.list": 250, "calendar.events.list": 2500, "gmail.users.messages.list": 500, "gmail.users.history.list": 500, "directory.users.list": 500}
        for name, most in largest.items():
            self.assertEqual(discovery.methods()[name].largest("maxResults"), most, name)
        for name, most in {"drive.changes.list": 1000, "drive.files.list": 1000, "drive.drives.list": 100}.items():
            self.assertEqual(discovery.methods()[name].largest("pageSize"), most, name)


class Answers(unittest.TestCase):
    def judge(self, answer, query="", name="calendar.events.get"):
        return discovery.judge_answer(discovery.methods()[name], query, answer)

    def test_a_good_answer_has_no_problem(self):
        self.assertEqual(self.judge(EVENT), [])
        self.assertEqual(self.judge({"kind": "calendar#event", "etag": '"1"', "id": "one", "status": "cancelled"}), [])
        self.assertEqual(self.judge({"id": "one"}, "fields=id,location"), [])

    def test_each_mistake_is_named(self):
        for change, expected in (
            ({"begin": 1}, "calendar.events.get: there is no field begin"),
            ({"sequence": "0"}, "calendar.events.get.sequence: '0' is no integer (int32)"),
            ({"sequence": True}, "calendar.events.get.sequence: True is no integer (int32)"),
            ({"id": 1}, "calendar.events.get.id: 1 is no string"),
            ({"updated": "2026-11-02"}, "calendar.events.get.updated: '2026-11-02' is no string (date-time)"),
            ({"start": {"date": "2.11.2026"}}, "calendar.events.get.start.date: '2.11.2026' is no string (date)"),
            ({"attendees": {"email": "x"}}, "calendar.events.get.attendees: {'email': 'x'} is no array"),
            ({"kind": "calendar#events"}, "calendar.events.get: kind is 'calendar#events', not 'calendar#event'"),
        ):
            self.assertEqual(self.judge(EVENT | change), [expected])
        self.assertEqual(self.judge({name: value for name, value in EVENT.items() if name != "etag"}), ["calendar.events.get: etag always comes, and is missing"])
        self.assertEqual(self.judge({"id": "one", "etag": '"1"'}, "fields=id"), ["calendar.events.get: etag was not selected"])
        profile = {"emailAddress": "ann@example.com", "messagesTotal": 1, "threadsTotal": 1, "historyId": 7}
        self.assertEqual(self.judge(profile, name="gmail.users.getProfile"), ["gmail.users.getProfile.historyId: 7 is no string (uint64)"])
        self.assertEqual(self.judge({"x": 1}, name="calendar.channels.stop"), ["{'x': 1} where no answer belongs"])
