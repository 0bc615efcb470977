"""All of syncctl's calls to Google in a full life cycle, checked one by one: path, parameters, `fields`, body, scopes; and each answer."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import discovery
from simulator import TARGET, Simulator, judge_requests

# All methods that syncctl uses. Fails if this run no longer calls one of them, because it would be unchecked.
METHODS = {
    "calendar.calendarList.list",
    "calendar.calendarList.watch",
    "calendar.calendars.get",
    "calendar.channels.stop",
    "calendar.events.list",
    "calendar.events.watch",
    "directory.users.list",
    "drive.about.get",
    "drive.changes.getStartPageToken",
    "drive.changes.list",
    "drive.changes.watch",
    "drive.channels.stop",
    "drive.drives.list",
    "drive.files.export",
    "drive.files.get",
    "drive.files.list",
    "gmail.users.getProfile",
    "gmail.users.history.list",
    "gmail.users.labels.get",
    "gmail.users.labels.list",
    "gmail.users.messages.get",
    "gmail.users.messages.list",
    "gmail.users.stop",
    "gmail.users.watch",
}
# Called only for upcoming or uncertain items, so not in every run.
SOMETIMES = {"calendar.events.get"}
SERVICES = ("calendar", "drive", "gmail")
SETTINGS = """
[db]
data_dir = "{folder}/postgres"
[google]
root = "{url}"
[calendar]
page_size = 5
[drive]
documents = "all"
[gmail]
window = "all"
store = "all"
[push]
address = "http://127.0.0.1:9/google"
gmail_topic = "projects/acme/topics/mail"
"""


class Installation(unittest.TestCase):
    """A simulator, and syncctl with a private cluster."""

    def setUp(self):
        self.simulator = self.enterContext(Simulator())
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="syncctl-official-")))
        # As root, the cluster belongs to another account.
        self.folder.chmod(0o755)
        settings = self.folder / "syncctl.toml"
        settings.write_text(SETTINGS.format(folder=self.folder, url=self.simulator.url), encoding="utf-8")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNCCTL_")} | {"SYNCCTL_CONFIG": str(settings)}
        self.addCleanup(self.run_it, "db", "stop")

    def tearDown(self):
        # Even if a run has failed: the simulator mostly refuses what Google would refuse.
        self.assertEqual(judge_requests(self.simulator.requests()), [])

    def run_it(self, *arguments, given="", expected=(0,)):
        """Runs syncctl; returns its results."""
        ran = subprocess.run([TARGET / "syncctl", *arguments], env=self.environment, input=given, capture_output=True, text=True, check=False)
        self.assertIn(ran.returncode, expected, f"syncctl {' '.join(arguments)}: {ran.stdout}\n{ran.stderr}")
        return ran.stdout


class Syncctl(Installation):
    def everything(self, *arguments):
        for service in SERVICES:
            self.run_it(service, *arguments)

    def people(self):
        """Three users with calendars, files and mail: one by a refresh token, the others by a service account from the directory."""
        admin = self.simulator.admin
        admin("generate", {"users": 3, "events_per_user": 20, "calendars_per_user": 2, "seed": 7})
        admin("drive/generate", {"files": 12, "shared_drives": 1, "files_per_drive": 6, "seed": 7})
        admin("mail/generate", {"messages": 15, "seed": 7})
        admin("mail/label", {"user": self.simulator.lines("accounts")[0]["email"], "name": "Invoices"})
        lines = self.simulator.lines("accounts?kind=service_account")
        users = [line["email"] for line in lines]
        admin("directory", {"user": users[0], "admin": True})
        key = self.folder / "key.json"
        key.write_text(json.dumps(lines[0]["credentials"]), encoding="utf-8")
        self.run_it("db", "start")
        self.run_it("accounts", "add-domain", "--key", str(key), "--directory", "--admin", users[0], "--domain", users[0].split("@")[1], "--check")
        self.run_it("accounts", "import", "-", given=json.dumps(self.simulator.lines("accounts")[0]))
        return users

    def followed(self, user):
        """Follows a text and a document; returns the text's ID."""
        files = [file for file in self.simulator.lines(f"drive/state?user={user}") if not file["trashed"]]
        text, document = (next(file["id"] for file in files if file["mimeType"].startswith(kind)) for kind in ("text/", "application/vnd.google-apps.document"))
        for file in (text, document):
            self.run_it("drive", "watch-file", "add", user, file)
        return text

    def changes(self, seed):
        for path in ("churn", "drive/churn", "mail/churn"):
            self.simulator.admin(path, {"changes": 30, "seed": seed})

    def test_every_request_is_one_that_google_knows(self):
        users = self.people()
        text = self.followed(users[0])
        # First syncs, changes, expired cursors, one step at a time.
        self.everything("cron")
        self.changes(1)
        self.run_it("sync", "cron", "--force")
        self.everything("renew-watches")
        self.changes(2)
        for what in ("sync_tokens", "history"):
            self.simulator.admin("expire", {"what": what})
        self.everything("cron", "--force")
        for service, what in (("calendar", users[1]), ("drive", text), ("gmail", users[1])):
            self.run_it(service, "poll", what)
        self.run_it("sync", "user", users[2])
        # All other commands that call Google.
        self.run_it("verify", "--all")
        self.run_it("accounts", "check", "--all")
        self.run_it("doctor", "--all-users", expected=(0, 1))
        self.simulator.admin("push/silence", {"all": True, "on": True})
        self.everything("renew-webhooks")
        self.run_it("accounts", "revoke", users[0])
        self.run_it("accounts", "remove", users[1], "--yes")
        self.run_it("channels", "stop", "--all")
        called = {getattr(discovery.find(line["method"], line["path"]), "id", None) for line in self.simulator.requests()}
        self.assertEqual(METHODS - called, set(), "not called")
        self.assertEqual(called - METHODS - SOMETIMES, set(), "not known to this test")
        self.assertGreater(self.simulator.admin("ledger")["batches"], 0)


if __name__ == "__main__":
    unittest.main()
