"""What the tests of containers share: the project's files, the binary, and the jobs of the crontab."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SYNCCTL = TARGET / "debug" / "syncctl"


def crontab():
    """The jobs of crontab.example that are not commented out: schedule and arguments."""
    jobs = []
    for line in (ROOT / "crontab.example").read_text().splitlines():
        if " syncctl " in line and not line.startswith("#"):
            *fields, command = line.split(None, 5)
            program, *arguments = command.split(">")[0].split()
            assert program == "syncctl", line
            jobs.append((" ".join(fields), tuple(arguments)))
    assert len(jobs) > 10, jobs
    return jobs


def syncctl(*arguments, **variables):
    """Runs the binary without the environment of this process."""
    return subprocess.run([SYNCCTL, *arguments], env={"HOME": "/nonexistent", **variables}, capture_output=True, text=True)


def assert_parses(test, arguments):
    """Asserts that the binary accepts the arguments. With --help it then prints the help of that command."""
    ran = syncctl(*arguments, "--help")
    test.assertEqual(ran.returncode, 0, f"{arguments}: {ran.stderr}")
    words = " ".join(word for word in arguments if not word.startswith("-")).split()
    test.assertIn(f"Usage: syncctl {words[0]}", ran.stdout, arguments)
