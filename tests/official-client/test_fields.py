"""`fields`: every name in an answer's discovery schema is accepted, and no other."""
from googleapiclient.errors import HttpError

import discovery
from simulator import Case

WHEN = {"start": {"date": "2026-11-02"}, "end": {"date": "2026-11-03"}}
# Fields of which every answer has one, and that have no subfields.
TEXTS = ("id", "kind", "name", "historyId")
SCOPE = "https://www.googleapis.com/auth/admin.directory.user.readonly"


def paths(api, schema, within=()):
    """Every path to a value in a schema; recursive schemas, such as parts of messages, are followed twice."""
    schema = discovery.document(api)["schemas"].get(schema.get("$ref"), schema)
    if schema.get("type") == "array":
        return paths(api, schema["items"], within)
    found = []
    for name, inner in schema.get("properties", {}).items():
        reference = inner.get("$ref") or inner.get("items", {}).get("$ref")
        below = paths(api, inner, (*within, reference)) if reference is None or within.count(reference) < 2 else []
        found += [f"{name}/{path}" for path in below] or [name]
    return found


def selectors(method, longest=1_000):
    """Selectors that together name every path of a method's answer. For URLs above 2,048 characters Google's client would POST."""
    selector = ""
    for path in paths(method.api, method.schema("response")):
        if len(selector) + len(path) > longest:
            yield selector
            selector = ""
        selector += f",{path}" if selector else path
    yield selector


class Fields(Case):
    def setUp(self):
        super().setUp()
        self.simulator.admin("directory", {"user": self.ANN, "admin": True})
        credentials = self.simulator.credentials(self.ANN)
        calendar, drive, gmail, directory = (self.simulator.service(api, credentials) for api in discovery.APIS)
        self.simulator.admin("events", {"user": self.ANN, "calendar": "primary", "event": {"id": "one"} | WHEN})
        message = self.simulator.admin("mail/messages", {"user": self.ANN, "raw": "Subject: x\r\n\r\nx"})["id"]
        history = gmail.users().getProfile(userId="me").execute()["historyId"]
        file = self.simulator.admin("drive/files", {"user": self.ANN, "name": "a.txt", "content": "a"})["id"]
        token = drive.changes().getStartPageToken().execute()["startPageToken"]
        numbers = iter(range(1_000))

        def channel():
            return {"id": f"c{next(numbers)}", "type": "web_hook", "address": f"{self.simulator.url}/sink/fields"}

        self.calls = [
            lambda **fields: calendar.calendarList().list(**fields),
            lambda **fields: calendar.calendarList().watch(body=channel(), **fields),
            lambda **fields: calendar.calendars().get(calendarId="primary", **fields),
            lambda **fields: calendar.events().list(calendarId="primary", **fields),
            lambda **fields: calendar.events().get(calendarId="primary", eventId="one", **fields),
            lambda **fields: calendar.events().watch(calendarId="primary", body=channel(), **fields),
            lambda **fields: drive.about().get(**fields),
            lambda **fields: drive.changes().getStartPageToken(**fields),
            lambda **fields: drive.changes().list(pageToken=token, **fields),
            lambda **fields: drive.changes().watch(pageToken=token, body=channel(), **fields),
            lambda **fields: drive.drives().list(**fields),
            lambda **fields: drive.files().get(fileId=file, **fields),
            lambda **fields: drive.files().list(**fields),
            lambda **fields: drive.files().watch(fileId=file, body=channel(), **fields),
            lambda **fields: gmail.users().getProfile(userId="me", **fields),
            lambda **fields: gmail.users().history().list(userId="me", startHistoryId=history, **fields),
            lambda **fields: gmail.users().labels().get(userId="me", id="INBOX", **fields),
            lambda **fields: gmail.users().labels().list(userId="me", **fields),
            lambda **fields: gmail.users().messages().get(userId="me", id=message, **fields),
            lambda **fields: gmail.users().messages().list(userId="me", **fields),
            lambda **fields: gmail.users().watch(userId="me", body={"topicName": "projects/p/topics/t"}, **fields),
            lambda **fields: directory.users().list(customer="my_customer", **fields),
        ]

    def test_every_field_of_the_documents_may_be_selected_and_no_other(self):
        for call in self.calls:
            method = discovery.methods()[call().methodId]
            response = method.schema("response")
            with self.subTest(method.id):
                for selector in selectors(method):
                    self.ask(call(fields=selector))
                self.ask(call(fields="*"))
                first = next(iter(response["properties"]))
                self.assertLessEqual(set(self.ask(call(fields=first))), {first})
                # An unknown name, a subfield of a string, and a malformed selector.
                text = min((path for path in paths(method.api, response) if path.split("/")[-1] in TEXTS), key=len)
                for wrong in ("nonsense", f"{text},nonsense", f"{text}/nonsense", f"{text}("):
                    self.refused(call, wrong)
        # Do not check intentionally refused calls.
        self.simulator.admin("requests", method="DELETE")

    def refused(self, call, wrong):
        with self.assertRaises(HttpError, msg=wrong) as refused:
            call(fields=wrong).execute()
        self.assertEqual(refused.exception.status_code, 400, wrong)
