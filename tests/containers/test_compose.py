"""compose.yaml: what it names exists, every service of syncctl is closed, and its commands are the program's."""

import re
import unittest

import yaml

from common import ROOT, assert_parses, crontab, syncctl

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("syncctl:")}


class Compose(unittest.TestCase):
    def test_every_service_secret_and_volume_that_is_named_exists(self):
        for name, service in COMPOSE["services"].items():
            with self.subTest(name):
                self.assertLessEqual(set(service.get("depends_on", {})), set(COMPOSE["services"]))
                self.assertLessEqual(set(service["secrets"]), set(COMPOSE["secrets"]))
                named = {volume.split(":")[0] for volume in service.get("volumes", [])}
                self.assertLessEqual(named, set(COMPOSE["volumes"]))

    def test_services_of_syncctl_are_closed_and_of_this_version(self):
        version = syncctl("--version").stdout.split()[1]
        self.assertEqual(set(OURS), {"migrate", "syncctl", "webhook"})
        for name, service in OURS.items():
            with self.subTest(name):
                self.assertEqual(service["image"], f"syncctl:{version}")
                self.assertTrue(service["read_only"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertNotIn("user", service)
                # Each secret is a setting of the program.
                self.assertEqual(service["environment"]["CREDENTIALS_DIRECTORY"], "/run/secrets")

    def test_the_commands_and_settings_are_the_programs(self):
        for name, service in OURS.items():
            with self.subTest(name):
                if "command" in service:
                    assert_parses(self, service["command"])
                shown = syncctl("config", "show", **{**service["environment"], "CREDENTIALS_DIRECTORY": "/nonexistent"})
                self.assertEqual(shown.returncode, 0, shown.stderr)
                known = {re.sub(r"\W", "_", line.split()[0]) for line in shown.stdout.splitlines() if line.strip()}
                self.assertLessEqual(set(service["secrets"]), known)

    def test_up_migrates_once_and_starts_no_job(self):
        started = {name for name, service in OURS.items() if "profiles" not in service}
        self.assertEqual(started, {"migrate"})
        self.assertNotIn("restart", OURS["migrate"])
        self.assertEqual(OURS["webhook"]["depends_on"], {"migrate": {"condition": "service_completed_successfully"}})
