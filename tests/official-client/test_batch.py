"""Batches of Google's own client: at the path in the discovery document, with answers matched by call ID."""
import httplib2

import discovery
from simulator import SCOPES, Case


class Batch(Case):
    def setUp(self):
        super().setUp()
        self.answers, self.failures = {}, {}

    def answered(self, name, answer, error):
        if error is None:
            self.answers[name] = answer
        else:
            self.failures[name] = error.status_code

    def test_messages_come_by_the_ids_of_their_calls(self):
        """At `/batch`, as in Gmail's document; includes long answers, which the inner calls request compressed."""
        gmail = self.simulator.service("gmail.v1", self.simulator.credentials(self.ANN))
        self.assertEqual(discovery.document("gmail.v1")["batchPath"], "batch")
        text = "Grüße\r\n" * 500
        made = [self.simulator.admin("mail/messages", {"user": self.ANN, "raw": f"Subject: {at}\r\n\r\n{text}"})["id"] for at in range(5)]
        batch = gmail.new_batch_http_request(self.answered)
        for id in [*reversed(made), "0000000000000001"]:
            batch.add(gmail.users().messages().get(userId="me", id=id), request_id=id)
        batch.execute()
        self.assertEqual(({name: answer["id"] for name, answer in self.answers.items()}, self.failures), ({id: id for id in made}, {"0000000000000001": 404}))
        method = discovery.methods()["gmail.users.messages.get"]
        self.assertEqual([discovery.judge_answer(method, "", answer) for answer in self.answers.values()], [[]] * 5)

    def test_calls_of_several_people_lie_in_one_batch(self):
        """Each with its own token, and with a body if the method has one."""
        services = {user: self.simulator.service("calendar.v3", self.simulator.delegated(user, SCOPES[:1])) for user in (self.ANN, self.BOB)}
        batch = services[self.ANN].new_batch_http_request(self.answered)
        for user, service in services.items():
            service.calendarList().list().execute()
            batch.add(service.calendars().get(calendarId="primary"), request_id=f"{user} + calendar")
            channel = {"id": user.split("@")[0], "type": "web_hook", "address": f"{self.simulator.url}/sink/x"}
            batch.add(service.events().watch(calendarId="primary", body=channel), request_id=f"{user} + channel")
        batch.execute()
        self.assertEqual(self.failures, {})
        self.assertEqual({name: answer["id"] for name, answer in self.answers.items() if name.endswith("calendar")}, {f"{user} + calendar": user for user in services})
        self.assertEqual({line["user"] for line in self.simulator.lines("push/channels")}, set(services))

    def test_a_token_that_has_ended_is_renewed(self):
        """By the client, which retries the refused calls."""
        drive = self.simulator.service("drive.v3", self.simulator.credentials(self.ANN))
        drive.about().get(fields="user").execute()
        self.simulator.admin("expire", {"what": "access_tokens"})
        batch = drive.new_batch_http_request(self.answered)
        for at in range(3):
            batch.add(drive.about().get(fields="user/emailAddress"), request_id=str(at))
        batch.execute()
        self.assertEqual((self.answers, self.failures), ({str(at): {"user": {"emailAddress": self.ANN}} for at in range(3)}, {}))
        self.simulator.admin("requests", method="DELETE")

    def test_lines_may_end_either_way(self):
        """Calls without an ID are answered in order."""
        credentials = self.simulator.credentials(self.ANN)
        service = self.simulator.service("drive.v3", credentials)
        service.about().get(fields="user").execute()
        for end in ("\n", "\r\n"):
            part = ["--b", "Content-Type: application/http", "", "GET /drive/v3/about?fields=user/emailAddress HTTP/1.1", "", ""]
            body = end.join([*part, *part, "--b--", ""])
            headers = {"Content-Type": 'multipart/mixed; boundary="b"', "Authorization": f"Bearer {credentials.token}"}
            http = httplib2.Http()
            answer, content = http.request(f"{self.simulator.url}/batch/drive/v3", "POST", body, headers)
            http.close()
            self.assertEqual((answer.status, content.count(b"HTTP/1.1 200 OK"), content.count(self.ANN.encode())), (200, 2, 2), repr(end))
            self.assertNotIn(b"Content-ID", content)
