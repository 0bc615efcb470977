"""The image: built from a program that stands in for the real one, since a static build takes long. What is asserted is what scripts/image adds to it."""

import json
import os
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from common import ROOT, syncctl

PROGRAM = """
#include <stdio.h>
int main(void) { puts("syncctl 7.8.9"); return 0; }
"""


def build(folder, *options):
    """Compiles the program and builds its image in the folder."""
    program = folder / "program"
    subprocess.run(["cc", *options, "-x", "c", "-", "-o", program], input=PROGRAM, text=True, check=True)
    variables = {**os.environ, "SYNCCTL": str(program), "CARGO_TARGET_DIR": str(folder), "SOURCE_DATE_EPOCH": "1700000000"}
    return subprocess.run([ROOT / "scripts" / "image"], env=variables, capture_output=True, text=True)


class Image(unittest.TestCase):
    def test_it_has_the_program_certificates_and_a_user_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            ran = build(folder, "-static")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            [archive] = (folder / "image").iterdir()
            with tarfile.open(archive) as layout:
                self.check_layout(lambda path: layout.extractfile(path))
            first = archive.read_bytes()
            self.assertEqual(build(folder, "-static").returncode, 0)
            self.assertEqual(self.digests(first), self.digests(archive.read_bytes()), "the same again")

    def digests(self, archive):
        with tempfile.TemporaryFile() as file:
            file.write(archive)
            file.seek(0)
            with tarfile.open(fileobj=file) as layout:
                return sorted(name for name in layout.getnames() if "sha256/" in name)

    def check_layout(self, read):
        def blob(descriptor):
            return read("blobs/" + descriptor["digest"].replace(":", "/"))

        self.assertEqual(json.load(read("oci-layout")), {"imageLayoutVersion": "1.0.0"})
        [described] = json.load(read("index.json"))["manifests"]
        self.assertEqual(described["annotations"]["org.opencontainers.image.ref.name"], "syncctl:7.8.9")
        manifest = json.load(blob(described))
        config = json.load(blob(manifest["config"]))
        self.assertEqual(config["config"]["Entrypoint"], ["/usr/bin/syncctl"])
        self.assertEqual(config["config"]["User"], "65532:65532")
        self.assertNotIn("Cmd", config["config"])
        for labels in (manifest["annotations"], config["config"]["Labels"]):
            self.assertEqual(labels["org.opencontainers.image.version"], "7.8.9")
            self.assertEqual(labels["org.opencontainers.image.licenses"], "MIT OR Apache-2.0")
            self.assertRegex(labels["org.opencontainers.image.revision"], "^[0-9a-f]{40}$")
            # Unknown is missing, not empty and not a placeholder. (buildah names the base image, of which there is none.)
            own = {name: value for name, value in labels.items() if ".image.base." not in name}
            self.assertTrue(all(own.values()) and not any("example" in value for value in own.values()), own)
        files, names = {}, set()
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=blob(layer)) as content:
                for member in content:
                    names.add(member.name.strip("/"))
                    self.assertEqual((member.uid, member.gid, member.mode & 0o022), (0, 0, 0), member.name)
                    if member.isfile():
                        files[member.name.strip("/")] = (member.mode & 0o7777, content.extractfile(member).read())
        self.assertEqual(set(files), {"usr/bin/syncctl", "etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt"})
        self.assertEqual(files["usr/bin/syncctl"][0], 0o755)
        self.assertIn(b"syncctl:x:65532:65532:", files["etc/passwd"][1])
        self.assertIn(b"BEGIN CERTIFICATE", files["etc/ssl/certs/ca-certificates.crt"][1])
        self.assertIn("home/syncctl", names)

    def test_a_program_that_needs_libraries_is_refused(self):
        with tempfile.TemporaryDirectory() as name:
            ran = build(Path(name))
            self.assertEqual(ran.returncode, 1)
            self.assertIn("is not a static program", ran.stderr)

    def test_the_version_of_the_program_is_its_second_word(self):
        self.assertRegex(syncctl("--version").stdout.split()[1], r"^\d+\.\d+\.\d+$")
