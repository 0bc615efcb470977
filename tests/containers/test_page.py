"""docs/containers.md: its commands are the program's, its versions and files are there."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from common import ROOT, assert_parses, crontab, syncctl

PAGE = (ROOT / "docs" / "containers.md").read_text()
CODE = [line.removeprefix("$ ") for block in re.findall(r"```\w+\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


class Page(unittest.TestCase):
    def test_every_command_is_one_of_the_program(self):
        runs = [line.split("#")[0].split("<")[0] for line in CODE if "crontab" not in line]
        commands = [re.split(r" syncctl(?::\S+)? ", line, maxsplit=1)[1].split() for line in runs if " run " in line]
        self.assertGreaterEqual(len(commands), 3, CODE)
        for command in commands:
            with self.subTest(command):
                assert_parses(self, [word for word in command if word != "--version"] or ["status"])

    def test_the_image_has_the_version_of_the_program(self):
        version = syncctl("--version").stdout.split()[1]
        self.assertEqual(set(re.findall(r"syncctl[:-](\d+\.\d+\.\d+)", PAGE)), {version})

    def test_the_seal_key_is_one(self):
        [make, *_] = [line for line in CODE if line.endswith("> seal.keys")]
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["sh", "-c", f"umask 077; {make}"], cwd=folder, check=True)
            shown = syncctl("accounts", "list", SYNCCTL_SEAL_KEYS_FILE=str(Path(folder) / "seal.keys"), DATABASE_URL="host=/nonexistent dbname=x")
            # The keys are read before the database, which is absent.
            self.assertEqual(shown.returncode, 69, shown.stderr)

    def test_the_crontab_starts_a_container_for_each_job(self):
        [line] = [line for line in CODE if "crontab.example" in line]
        made = subprocess.run(["sh", "-c", line.rsplit("|", 1)[0]], cwd=ROOT, env={"PWD": "/srv", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
        jobs = [line for line in made.stdout.splitlines() if line[:1].isdigit() or line[:1] == "*"]
        self.assertEqual(len(jobs), len([job for job in crontab() if job[1][0] != "report"]))
        for job in jobs:
            self.assertRegex(job, r" docker compose --project-directory \S+ run --rm -T syncctl [a-z]+ ")
