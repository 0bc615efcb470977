"""Drive, called with Google's own client."""
import io

from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload

from simulator import Case

EVERYWHERE = {"supportsAllDrives": True, "includeItemsFromAllDrives": True}
DOCUMENT = "application/vnd.google-apps.document"


class Drive(Case):
    def setUp(self):
        super().setUp()
        self.drive = self.simulator.service("drive.v3", self.simulator.credentials(self.ANN))

    def add(self, **file):
        return self.simulator.admin("drive/files", {"user": self.ANN} | file)["id"]

    def test_changes_are_followed_page_by_page(self):
        start = self.ask(self.drive.changes().getStartPageToken(supportsAllDrives=True))["startPageToken"]
        team = self.simulator.admin("drive/drives", {"name": "Team", "members": [self.ANN]})["id"]
        names = [self.add(name=f"{at}.txt", content="text") for at in range(3)] + [self.add(name="team.txt", drive=team, content="text")]
        gone = self.add(name="gone.txt", content="text")
        self.simulator.admin("drive/files", {"id": gone}, "DELETE")
        changes = self.drive.changes()
        first = changes.list(pageToken=start, pageSize=2, fields="*", **EVERYWHERE)
        items, last = self.pages(changes, first, "changes")
        removed = [item.get("fileId") for item in items if item["removed"]]
        self.assertEqual(([item["file"]["id"] for item in items if "file" in item], removed), (names, [gone]))
        self.assertEqual([item["drive"]["name"] for item in items if item["changeType"] == "drive"], ["Team"])
        self.assertEqual(self.ask(changes.list(pageToken=last["newStartPageToken"]))["changes"], [])
        self.ask(changes.list(pageToken=start))

    def test_files_are_listed_with_few_fields_and_with_all(self):
        folder = self.add(name="Folder", mimeType="application/vnd.google-apps.folder")
        for name in ("a.txt", "b.txt", "c.txt"):
            self.add(name=name, content="text", parents=[folder])
        files = self.drive.files()
        few, _ = self.pages(files, files.list(q=f"'{folder}' in parents and trashed = false", pageSize=2), "files")
        self.assertEqual([set(file) for file in few], [{"kind", "id", "name", "mimeType"}] * 3)
        everything = self.ask(files.list(fields="*", corpora="allDrives", **EVERYWHERE))["files"]
        self.assertEqual([file["version"].isdigit() for file in everything], [True] * 4)
        self.assertEqual(self.ask(files.get(fileId="root"))["name"], "My Drive")
        self.ask(files.get(fileId="root", fields="*"))
        one = self.ask(files.get(fileId=few[0]["id"], fields="size,md5Checksum,owners/emailAddress,capabilities/canDownload"))
        self.assertEqual(one["owners"], [{"emailAddress": self.ANN}])
        user = self.ask(self.drive.about().get(fields="user"))["user"]
        self.assertEqual(user["emailAddress"], self.ANN)

    def test_permissions_have_the_shapes_of_the_documents(self):
        file = self.add(name="a.txt", content="text", description="About it")
        self.add(name="A way", shortcut_to=file)
        for grantee in ({"anyone": True}, {"domain": "partner.example"}, {"group": "team@example.com"}, {"outsider": "guest@partner.example"}):
            self.simulator.admin("drive/share", {"id": file, "role": "writer"} | grantee)
        self.simulator.admin("drive/share", {"id": file, "outsider": "new@partner.example", "expires": "2099-01-01T00:00:00Z"})
        shown = self.ask(self.drive.files().get(fileId=file, fields="*"))
        kinds = [permission["type"] for permission in shown["permissions"]]
        self.assertEqual(kinds, ["anyone", "domain", "group", "user", "user", "user"])
        self.assertEqual(shown["permissionIds"], [permission["id"] for permission in shown["permissions"]])
        team = self.simulator.admin("drive/drives", {"name": "Team", "members": [self.ANN]})["id"]
        self.add(name="b.txt", drive=team, content="text")
        for item in self.ask(self.drive.files().list(fields="*", corpora="allDrives", **EVERYWHERE))["files"]:
            self.assertEqual("permissions" in item, "driveId" not in item)

    def test_content_is_downloaded_and_exported(self):
        text = self.add(name="a.txt", content="Grüße")
        document = self.add(name="Notes", mimeType=DOCUMENT, content="# Notes")
        self.assertEqual(self.drive.files().get_media(fileId=text).execute(), "Grüße".encode())
        self.assertEqual(self.drive.files().export(fileId=document, mimeType="text/markdown").execute(), b"# Notes")
        into = io.BytesIO()
        download = MediaIoBaseDownload(into, self.drive.files().export_media(fileId=document, mimeType="text/plain"))
        self.assertTrue(download.next_chunk()[1])
        self.assertEqual(into.getvalue(), b"# Notes")
        with self.assertRaises(HttpError) as refused:
            self.drive.files().get_media(fileId=document).execute()
        self.assertIn("fileNotDownloadable", str(refused.exception.error_details))

    def test_shared_drives_are_listed(self):
        for at in range(3):
            self.simulator.admin("drive/drives", {"name": f"Team {at}", "members": [self.ANN]})
        drives = self.drive.drives()
        found, _ = self.pages(drives, drives.list(pageSize=2), "drives")
        self.assertEqual([drive["name"] for drive in found], ["Team 0", "Team 1", "Team 2"])
        self.ask(drives.list(fields="*"))
        token = self.ask(self.drive.changes().getStartPageToken(driveId=found[0]["id"], supportsAllDrives=True))["startPageToken"]
        feed = {"driveId": found[0]["id"], "pageToken": token} | EVERYWHERE
        self.assertEqual(self.ask(self.drive.changes().list(**feed))["changes"], [])

    def test_channels_are_opened_and_stopped(self):
        file = self.add(name="a.txt", content="text")
        token = self.ask(self.drive.changes().getStartPageToken())["startPageToken"]
        channel = {"type": "web_hook", "address": f"{self.simulator.url}/sink/channels"}
        opened = [
            self.ask(self.drive.changes().watch(pageToken=token, body=channel | {"id": "one", "expiration": "33333333333333"})),
            self.ask(self.drive.files().watch(fileId=file, body=channel | {"id": "two"}, fields="id,resourceId")),
        ]
        for one in opened:
            self.ask(self.drive.channels().stop(body={"id": one["id"], "resourceId": one["resourceId"]}))
        self.assertEqual(self.simulator.lines("push/channels"), [])
