"""Token requests of google-auth, and retries of Google's client."""
import json
import urllib.parse
import urllib.request

import google.auth.exceptions
import google_auth_httplib2
import httplib2
from googleapiclient.errors import HttpError

from simulator import SCOPES, Case


class Tokens(Case):
    def refresh(self, credentials):
        http = httplib2.Http()
        try:
            credentials.refresh(google_auth_httplib2.Request(http))
        finally:
            http.close()
        return credentials

    def test_a_refresh_token_brings_an_access_token(self):
        credentials = self.refresh(self.simulator.credentials(self.ANN, SCOPES))
        self.assertTrue(credentials.valid)
        self.assertEqual(set(credentials.granted_scopes), set(SCOPES))

    def test_a_service_account_acts_for_a_person(self):
        """The audience of its assertion is Google's token endpoint, wherever it is sent."""
        credentials = self.refresh(self.simulator.delegated(self.ANN, SCOPES[:1]))
        self.assertTrue(credentials.valid)
        calendar = self.simulator.service("calendar.v3", credentials)
        self.assertEqual(self.ask(calendar.calendars().get(calendarId="primary"))["id"], self.ANN)

    def test_what_was_not_delegated_is_refused_for_good(self):
        for credentials in (self.simulator.delegated(self.ANN, ["https://www.googleapis.com/auth/drive"]), self.simulator.delegated(self.BOB, SCOPES).with_subject("nobody@example.com")):
            with self.assertRaises(google.auth.exceptions.RefreshError) as refused:
                self.refresh(credentials)
            self.assertEqual((refused.exception.args[1]["error"], refused.exception.retryable), ("unauthorized_client", False))

    def test_a_revoked_grant_is_refused_for_good(self):
        credentials = self.refresh(self.simulator.credentials(self.ANN))
        form = urllib.parse.urlencode({"token": credentials.token}).encode()
        with urllib.request.urlopen(f"{self.simulator.url}/revoke", form) as answer:
            self.assertEqual((answer.status, json.load(answer)), (200, {}))
        with self.assertRaises(google.auth.exceptions.RefreshError) as refused:
            self.refresh(credentials)
        self.assertEqual((refused.exception.args[1]["error"], refused.exception.retryable), ("invalid_grant", False))

    def test_an_access_token_that_has_ended_is_renewed(self):
        drive = self.simulator.service("drive.v3", self.simulator.credentials(self.ANN))
        drive.about().get(fields="user").execute()
        self.simulator.admin("expire", {"what": "access_tokens"})
        self.assertEqual(self.ask(drive.about().get(fields="user"))["user"]["emailAddress"], self.ANN)
        self.simulator.admin("requests", method="DELETE")


class Tries(Case):
    """The client retries exactly the errors that Google documents as retryable."""

    def tries(self, fault, times, allowed=3):
        drive = self.simulator.service("drive.v3", self.simulator.credentials(self.ANN))
        drive.about().get(fields="user").execute()
        self.simulator.admin("faults", {"fault": fault, "method": "about.get", "times": times})
        self.simulator.admin("ledger/reset", {})
        request = drive.about().get(fields="user")
        request._sleep = lambda seconds: None
        try:
            self.ask(request, num_retries=allowed)
            status = 200
        except HttpError as error:
            status = error.status_code
        self.simulator.admin("faults", method="DELETE")
        return status, self.simulator.admin("ledger")["by_method"]["about.get"]

    def test_rates_and_outages_are_tried_again(self):
        for fault in ("rate_limit_403", "rate_limit_429", "user_rate_limit", "server_500", "bad_gateway_502", "unavailable_503"):
            self.assertEqual(self.tries(fault, 2), (200, 3), fault)

    def test_refusals_are_not(self):
        for fault, status in (("insufficient_permissions", 403), ("access_not_configured", 403), ("not_found", 404), ("bad_request_400", 400)):
            self.assertEqual(self.tries(fault, 5), (status, 1), fault)
