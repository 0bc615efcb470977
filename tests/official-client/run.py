"""Runs the tests of this folder, and prints how much was checked."""
import pathlib
import sys
import time
import unittest

import discovery
import simulator

began = time.monotonic()
sys.argv[1:1] = ["discover", "-s", str(pathlib.Path(__file__).parent)]
result = unittest.main(module=None, exit=False).result
counts = simulator.Counts
documents = ", ".join(f"{api} of {discovery.document(api)['revision']}" for api in discovery.APIS)
print(f"Judged by {documents}:")
print(f"{counts.requests} requests of {len(counts.methods)} methods, and {counts.answers} answers, in {time.monotonic() - began:.0f} s")
sys.exit(not result.wasSuccessful() or not result.testsRun)
