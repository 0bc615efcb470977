"""Gmail, called with Google's own client."""
import base64

from googleapiclient.errors import HttpError

from simulator import Case

RAW = "From: Bob <bob@example.com>\r\nTo: ann@example.com\r\nSubject: Hello\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\nHello, Ann\r\n"


class Gmail(Case):
    def setUp(self):
        super().setUp()
        self.simulator.admin("mail/generate", {"messages": 30, "seed": 5, "users": [self.ANN]})
        self.users = self.simulator.service("gmail.v1", self.simulator.credentials(self.ANN)).users()

    def test_messages_are_listed_and_fetched_in_every_format(self):
        listed, last = self.pages(self.users.messages(), self.users.messages().list(userId="me", maxResults=12, includeSpamTrash=True), "messages")
        self.assertEqual(len(listed), 30)
        self.assertNotIn("nextPageToken", last)
        for message in listed:
            for form in ("minimal", "metadata", "full", "raw"):
                got = self.ask(self.users.messages().get(userId=self.ANN, id=message["id"], format=form))
                self.assertEqual(("payload" in got, "raw" in got), (form in ("metadata", "full"), form == "raw"), form)
        none = self.ask(self.users.messages().list(userId="me", q="after:1"))
        self.assertTrue(none["messages"])
        self.assertEqual(self.ask(self.users.messages().list(userId="me", q="before:1")), {"resultSizeEstimate": 0})

    def test_a_message_has_its_headers_and_text(self):
        made = self.simulator.admin("mail/messages", {"user": self.ANN, "raw": RAW})["id"]
        message = self.ask(self.users.messages().get(userId="me", id=made))
        headers = {header["name"]: header["value"] for header in message["payload"]["headers"]}
        self.assertEqual((headers["Subject"], message["labelIds"], message["internalDate"]), ("Hello", ["INBOX", "UNREAD"], "1793613600000"))
        self.assertEqual(base64.urlsafe_b64decode(message["payload"]["body"]["data"]), b"Hello, Ann\r\n")
        subject = self.users.messages().get(userId="me", id=made, format="metadata", metadataHeaders=["Subject", "From"], fields="payload/headers")
        self.assertEqual(len(self.ask(subject)["payload"]["headers"]), 2)
        raw = self.ask(self.users.messages().get(userId="me", id=made, format="raw", fields="raw"))["raw"]
        self.assertEqual(base64.urlsafe_b64decode(raw), RAW.encode())

    def test_history_is_followed_page_by_page(self):
        profile = self.ask(self.users.getProfile(userId="me"))
        self.assertEqual((profile["emailAddress"], profile["messagesTotal"]), (self.ANN, 30))
        made = self.simulator.admin("mail/messages", {"user": self.ANN, "raw": RAW})["id"]
        self.simulator.admin("mail/labels", {"user": self.ANN, "id": made, "add": ["STARRED", "Projects"], "remove": ["UNREAD"]})
        self.simulator.admin("mail/messages", {"user": self.ANN, "id": made}, "DELETE")
        history = self.users.history()
        first = history.list(userId="me", startHistoryId=profile["historyId"], maxResults=1)
        records, last = self.pages(history, first, "history")
        kinds = [key for record in records for key in record if key not in ("id", "messages")]
        self.assertEqual(kinds, ["messagesAdded", "labelsAdded", "labelsRemoved", "messagesDeleted"])
        self.assertEqual(last["historyId"], records[-1]["id"])
        types = ["messageAdded", "messageDeleted"]
        some = self.ask(history.list(userId="me", startHistoryId=profile["historyId"], historyTypes=types, labelId="INBOX"))
        self.assertEqual(len(some["history"]), 2)
        self.simulator.admin("expire", {"what": "history"})
        with self.assertRaises(HttpError) as gone:
            history.list(userId="me", startHistoryId=profile["historyId"]).execute()
        self.assertEqual(gone.exception.status_code, 404)

    def test_a_mailbox_is_watched_and_its_labels_listed(self):
        watch = self.ask(self.users.watch(userId="me", body={"topicName": "projects/p/topics/t", "labelIds": ["INBOX"], "labelFilterBehavior": "include"}))
        self.assertTrue(watch["historyId"].isdigit() and watch["expiration"].isdigit())
        self.ask(self.users.stop(userId="me"))
        self.assertEqual(self.simulator.lines("push/watches"), [])
        labels = self.ask(self.users.labels().list(userId="me"))["labels"]
        self.assertIn("INBOX", [label["id"] for label in labels])
        color = {"text_color": "#ffffff", "background_color": "#16a766"}
        made = self.simulator.admin("mail/label", {"user": self.ANN, "name": "Money/Invoices", "color": color})["id"]
        label = self.ask(self.users.labels().get(userId="me", id=made))
        self.assertEqual((label["name"], label["color"]["backgroundColor"], label["messagesTotal"]), ("Money/Invoices", "#16a766", 0))
