"""Calendar, called with Google's own client."""
from googleapiclient.errors import HttpError

from simulator import SCOPES, Case


class Calendar(Case):
    def setUp(self):
        super().setUp()
        self.simulator.admin("generate", {"users": 1, "events_per_user": 20, "calendars_per_user": 2, "domain": "corp.example", "seed": 3})
        self.user = next(line["email"] for line in self.simulator.lines("accounts") if line["email"].endswith("@corp.example"))
        self.calendar = self.simulator.service("calendar.v3", self.simulator.credentials(self.user))

    def put(self, **event):
        event = {"start": {"date": "2026-11-02"}, "end": {"date": "2026-11-03"}} | event
        return self.simulator.admin("events", {"user": self.user, "calendar": "primary", "event": event})

    def test_calendars_are_listed_and_followed(self):
        entries = self.calendar.calendarList()
        items, last = self.pages(entries, entries.list(maxResults=1), "items")
        self.assertEqual(len(items), 2)
        self.assertEqual([item["id"] for item in items if item.get("primary")], [self.user])
        self.simulator.admin("calendars", {"user": self.user, "id": "team@example.com"})
        self.simulator.admin("calendars", {"user": self.user, "id": items[1]["id"]}, "DELETE")
        changed = self.ask(entries.list(maxResults=1, syncToken=last["nextSyncToken"]))
        more = self.ask(entries.list_next(entries.list(maxResults=1, syncToken=last["nextSyncToken"]), changed))
        self.assertEqual([item["id"] for item in changed["items"] + more["items"]], ["team@example.com", items[1]["id"]])
        self.assertTrue(more["items"][0]["deleted"])
        self.assertEqual(self.ask(self.calendar.calendars().get(calendarId="primary"))["id"], self.user)

    def test_events_are_listed_followed_and_fetched(self):
        events = self.calendar.events()
        first = events.list(calendarId="primary", maxResults=7, showDeleted=True)
        items, last = self.pages(events, first, "items")
        self.assertGreaterEqual(len(items), 10)
        # The feed contains one deletion and one new event, and nothing else.
        gone = next(item["id"] for item in items if item["status"] != "cancelled" and "recurringEventId" not in item)
        self.simulator.admin("events", {"user": self.user, "calendar": "primary", "id": gone}, "DELETE")
        self.put(id="made1", summary="Review", attendees=[{"email": self.ANN, "responseStatus": "accepted"}])
        changed = self.ask(events.list(calendarId="primary", maxResults=7, showDeleted=True, syncToken=last["nextSyncToken"]))
        stubs = {item["id"]: item["status"] for item in changed["items"]}
        self.assertEqual((stubs[gone], stubs["made1"]), ("cancelled", "confirmed"))
        self.assertEqual(self.ask(events.get(calendarId="primary", eventId="made1"))["summary"], "Review")
        with self.assertRaises(HttpError) as refused:
            events.get(calendarId="primary", eventId="nothing").execute()
        self.assertEqual(refused.exception.status_code, 404)

    def test_instances_take_the_place_of_a_series(self):
        when = {"timeZone": "Europe/Berlin"}
        start, end = when | {"dateTime": "2026-11-02T09:00:00+01:00"}, when | {"dateTime": "2026-11-02T09:30:00+01:00"}
        self.put(id="daily", recurrence=["RRULE:FREQ=DAILY;COUNT=3"], start=start, end=end)
        window = {"timeMin": "2026-11-02T00:00:00Z", "timeMax": "2026-11-09T00:00:00Z"}
        shown = self.ask(self.calendar.events().list(calendarId="primary", singleEvents=True, **window))
        instances = [item["originalStartTime"]["dateTime"] for item in shown["items"] if item.get("recurringEventId") == "daily"]
        self.assertEqual(instances, [f"2026-11-0{day}T09:00:00+01:00" for day in (2, 3, 4)])

    def test_a_sync_token_that_has_expired_is_410(self):
        last = self.ask(self.calendar.events().list(calendarId="primary"))
        self.simulator.admin("expire", {"what": "sync_tokens"})
        with self.assertRaises(HttpError) as gone:
            self.calendar.events().list(calendarId="primary", syncToken=last["nextSyncToken"]).execute()
        self.assertEqual(gone.exception.status_code, 410)
        self.assertIn("fullSyncRequired", str(gone.exception.error_details))

    def test_channels_are_opened_and_stopped(self):
        channel = {"type": "web_hook", "address": f"{self.simulator.url}/sink/channels", "token": "secret"}
        events = self.ask(self.calendar.events().watch(calendarId="primary", body=channel | {"id": "one"}))
        entries = self.ask(self.calendar.calendarList().watch(body=channel | {"id": "two"}))
        for opened in (events, entries):
            self.assertEqual(opened["token"], "secret")
            self.ask(self.calendar.channels().stop(body={"id": opened["id"], "resourceId": opened["resourceId"]}))
        self.assertEqual(self.simulator.lines("push/channels"), [])

    def test_a_token_needs_a_scope_that_is_enough(self):
        self.simulator.admin("scopes", {"user": self.user, "scopes": SCOPES[1:]})
        mail_only = self.simulator.service("calendar.v3", self.simulator.credentials(self.user))
        with self.assertRaises(HttpError) as refused:
            mail_only.events().list(calendarId="primary").execute()
        self.assertEqual(refused.exception.status_code, 403)
        self.simulator.admin("requests", method="DELETE")
