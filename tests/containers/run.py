"""Runs the tests of this folder."""

import pathlib
import sys
import unittest

sys.argv[1:1] = ["discover", "-s", str(pathlib.Path(__file__).parent)]
result = unittest.main(module=None, exit=False).result
sys.exit(not result.wasSuccessful() or not result.testsRun)
