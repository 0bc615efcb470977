"""The simulator as a process, Google's client configured for it, and the base class of the tests."""
import copy
import json
import os
import pathlib
import subprocess
import unittest
import urllib.error
import urllib.request

import google.oauth2.credentials
import google.oauth2.service_account
import google_auth_httplib2
import httplib2
from googleapiclient.discovery import build_from_document

import discovery

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path(__file__).parents[2] / "target")).absolute() / "debug"
SCOPES = [f"https://www.googleapis.com/auth/{name}.readonly" for name in ("calendar", "drive", "gmail")]


class Simulator:
    """One simulator on a free port; `with` ends it."""

    def __init__(self):
        self.process = subprocess.Popen(
            [TARGET / "google-sim", "--listen", "127.0.0.1:0", "--exit-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().split()[-1]
        self.open = []
        self.admin("requests", {"on": True})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for http in self.open:
            http.close()
        # It ends when its standard input ends, and therefore with these tests.
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def admin(self, path, body=None, method=None):
        """Calls the test's side: POST with a body, else GET. Returns parsed JSON, or text."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/admin/{path}", data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request) as answer:
            text = answer.read().decode()
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    def lines(self, path):
        """A JSON lines answer of the test's side."""
        with urllib.request.urlopen(f"{self.url}/admin/{path}") as answer:
            return [json.loads(line) for line in answer.read().decode().splitlines()]

    def requests(self):
        """Every call since the start or the last `forget`, in order."""
        return self.lines("requests")

    def credentials(self, user, scopes=None):
        """A refresh token of this user, as google-auth holds it."""
        account = next(line for line in self.lines("accounts") if line["email"] == user)
        known = {name: account["credentials"][name] for name in ("refresh_token", "token_uri", "client_id", "client_secret")}
        return google.oauth2.credentials.Credentials(token=None, scopes=scopes, **known)

    def delegated(self, user, scopes):
        """The service account, acting for this user."""
        account = next(line for line in self.lines("accounts?kind=service_account") if line["email"] == user)
        credentials = google.oauth2.service_account.Credentials.from_service_account_info(account["credentials"], scopes=scopes)
        return credentials.with_subject(user)

    def service(self, api, credentials):
        """Google's client for an API such as `calendar.v3`, built from its discovery document with the simulator's address."""
        document = copy.deepcopy(discovery.document(api))
        document["rootUrl"] = f"{self.url}/"
        http = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http())
        self.open.append(http)
        return build_from_document(document, http=http)


class Counts:
    """Counts of checks, for the line at the end."""

    requests = answers = 0
    methods = set()


def judge_requests(lines):
    """Problems of recorded calls and their answers, each prefixed with its call."""
    problems = []
    for line in lines:
        method = discovery.find(line["method"], line["path"])
        call = f"{line['method']} {line['path']}?{line['query']}"
        if method is None:
            problems.append(f"{call}: there is no such method")
            continue
        Counts.requests += 1
        Counts.methods.add(method.id)
        found = discovery.judge_request(method, line["path"], line["query"], line["body"], line["scopes"])
        if line["scopes"] is None and line["status"] != 401:
            found.append("it was answered without a token")
        if 200 <= line["status"] < 300 and (line["answer"] is not None or line["status"] == 204):
            Counts.answers += 1
            found += discovery.judge_answer(method, line["query"], line["answer"])
        problems += [f"{call}: {problem}" for problem in found]
    return problems


class Case(unittest.TestCase):
    """Tests with a separate simulator. All their calls are checked when they end."""

    ANN, BOB = "ann@example.com", "bob@example.com"

    def setUp(self):
        self.simulator = self.enterContext(Simulator())
        for user in (self.ANN, self.BOB):
            self.simulator.admin("users", {"email": user})

    def tearDown(self):
        self.assertEqual(judge_requests(self.simulator.requests()), [])

    def ask(self, request, **how):
        """Executes a request of Google's client, and checks its answer."""
        answer = request.execute(**how)
        method = discovery.methods()[request.methodId]
        query = request.uri.partition("?")[2]
        if isinstance(answer, (dict, list)):
            self.assertEqual(discovery.judge_answer(method, query, answer), [])
        return answer

    def pages(self, resource, request, key):
        """All items of all pages, by `list_next`, and the last page."""
        items = []
        while request is not None:
            page = self.ask(request)
            items += page.get(key, [])
            request = resource.list_next(request, page)
        return items, page
