"""The reader in Python on docs/readers.md, as printed, beside a mailbox that changes."""
import json
import pathlib
import re
import subprocess
import sys

import psycopg

from test_syncctl import Installation

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "readers.md"


class Readers(Installation):
    def sync(self):
        self.run_it("gmail", "cron", "--force")

    def read(self):
        """Runs the program of the page; returns its copy."""
        subprocess.run([sys.executable, self.folder / "reader.py", self.url], cwd=self.folder, check=True, capture_output=True)
        return json.loads((self.folder / "reader.json").read_text(encoding="utf-8"))

    def stored(self):
        with psycopg.connect(self.url) as source:
            rows = source.execute("SELECT stream_id || '/' || message_id, subject FROM gmail_messages WHERE deleted_at IS NULL")
            return dict(rows.fetchall())

    def test_the_reader_of_the_page_keeps_a_copy_equal(self):
        program = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
        (self.folder / "reader.py").write_text(program, encoding="utf-8")
        self.simulator.admin("generate", {"users": 2, "events_per_user": 0, "seed": 7})
        self.simulator.admin("mail/generate", {"messages": 40, "seed": 7})
        self.run_it("accounts", "import", "-", given="\n".join(json.dumps(line) for line in self.simulator.lines("accounts")))
        socket = json.loads(self.run_it("db", "status", "--json"))["private_cluster"]["socket_dir"]
        self.url = f"host={socket} port=5432 user=syncctl dbname=syncctl"
        self.sync()
        first = self.read()
        self.assertEqual(first["messages"], self.stored())
        self.assertGreater(len(first["messages"]), 60)
        for seed in (1, 2):
            self.simulator.admin("mail/churn", {"changes": 40, "seed": seed})
            self.sync()
            self.assertEqual(self.read()["messages"], self.stored())
        self.assertEqual(self.read()["cursor"], self.read()["cursor"])
