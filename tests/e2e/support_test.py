#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bundle for a report about a problem: what is in it, what is not, and what it costs while a server is down.

    support_test.py UNDERSTUDY
"""

import json
import os
import sys
import tarfile
import time
import unittest

from backup_types_test import BackupCase


class SupportBundle(BackupCase):
    def bundle(self, *options):
        return self.lab.run("support-bundle", *options)

    def test_everything_is_in_it_but_secrets(self):
        file = os.path.join(self.lab.temp.name, "bundle.tar.gz")
        self.lab.ok("backup", "run", "orders", "--to", self.repository)
        made = self.bundle("--output", file, "-o", "json")
        self.assertEqual(made.returncode, 0, made.stderr)
        told = json.loads(made.stdout)["bundle"]
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        with tarfile.open(file) as archive:
            content = {member.name: archive.extractfile(member).read() for member in archive}
        manifest = json.loads(content["manifest.json"])
        missing = {entry["file"] for entry in manifest["entries"] if not entry["got"]}
        self.assertEqual(missing, {entry["file"] for entry in told["missing"]})
        self.assertLessEqual(missing, {"group/backups.json", "group/certificates.json"})  # none is configured here
        for server in ("s1", "s2"):
            status = json.loads(content[f"servers/{server}/status.json"])
            self.assertEqual(status["databases"][0]["name"], "orders")
            self.assertIn("events", json.loads(content[f"servers/{server}/events.json"]))
            facts = json.loads(content[f"servers/{server}/facts.json"])
            self.assertIn("VmRSS", facts["/proc/self/status"])
            self.assertGreater(int(facts["descriptors"]), 5)
            self.assertIn(f"name = '{server}'", content[f"servers/{server}/understudyd.toml"].decode())
        self.assertEqual(json.loads(content["databases/orders/failover.json"])["database"], "orders")
        self.assertIn("holds", json.loads(content["databases/orders/holds.json"]))
        again = self.bundle("--output", file)
        self.assertEqual(again.returncode, 1)
        self.assertIn("--force", again.stderr)

    def test_a_dead_server_is_named_and_not_waited_for(self):
        file = os.path.join(self.lab.temp.name, "bundle.tar.gz")
        self.lab.ok("lab", "kill", "s2")
        began = time.monotonic()
        made = self.bundle("--output", file, "-o", "json")
        self.assertLess(time.monotonic() - began, 40)
        self.assertEqual(made.returncode, 0, made.stderr)
        missing = {entry["file"]: entry["why"] for entry in json.loads(made.stdout)["bundle"]["missing"]}
        self.assertIn("servers/s2/status.json", missing)
        self.assertIn("not asked", missing["servers/s2/events.json"])
        self.assertNotIn("servers/s1/status.json", missing)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
