#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The continuous archive of a group, and restores to the seconds between two backups.

    archive_test.py UNDERSTUDY [TEST…]

An application writes while servers are moved, killed and started; what is restored is at every moment what it had.
"""

import json
import os
import sqlite3
import sys
import unittest

from backup_types_test import BackupCase
from failover_test import wait_until
from restore_test import content

LIMIT_S = 60


class Archive(BackupCase):
    rows, row_bytes, servers = 300, 300, 3

    def setUp(self):
        super().setUp()
        self.lab.ok("copy", "add", "orders", "s3")
        self.lab.wait_healthy("orders")
        self.repository = os.path.join(self.lab.directory, "backups")
        self.application = sqlite3.connect(self.path, timeout=30)
        self.addCleanup(self.application.close)
        self.written = []  # what the table had after each commit

    def write(self):
        value = 1_000_000 + len(self.written)
        self.application.execute("INSERT INTO t VALUES(?, 'x')", (value,))
        self.application.commit()
        self.written.append(value)

    def archived(self):
        """Of all roots: (term, seq, commit time in ms, id), in order."""
        found = []
        for _, _, names in os.walk(os.path.join(self.repository, "orders", "archive")):
            for name in names:
                if name.endswith(".json"):
                    term, seq, commit, rest = name.split("-", 3)
                    found.append((int(term, 16), int(seq, 16), int(commit, 16), rest[:-len(".json")]))
        return sorted(found)

    def position(self):
        return self.lab.status("orders")["position"]

    def wait_archived(self, count):
        """The application writes on until so many states are archived."""
        def written_on():
            self.write()
            return len(self.archived()) >= count
        if len(self.archived()) < count:
            wait_until(written_on, f"{count} states are archived", LIMIT_S)

    def restored(self, *options):
        output = os.path.join(self.lab.temp.name, "restored.db")
        result = self.lab.run("restore", "--repo", self.repository, "--db", "orders", "--output", output, "--force", *options,
                              "-o", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["restore"], [a for a, _ in content(output) if a >= 1_000_000]

    def events(self, *numbers):
        return [event for event in json.loads(self.lab.ok("events", "-o", "json"))["events"] if event["number"] in numbers]

    def test_every_archived_state_comes_back_whatever_happens_to_servers(self):
        self.write()
        said = self.lab.ok("db", "set", "orders", "--archive-interval", "1s")
        self.assertIn("archived every 1", said)
        self.wait_archived(2)
        self.assertEqual(len(self.events(2120)), 1, "there was no backup to follow")
        self.assertEqual(len(json.loads(self.lab.ok("backup", "list", "orders", "--repo", self.repository, "-o", "json"))
                             ["backups"]), 1)
        for name in ("s2", "s3"):  # one of them is the source
            have = len(self.archived())
            self.lab.ok("lab", "kill", name)
            self.wait_archived(have + 2)
            self.lab.ok("lab", "start", name)
            self.lab.wait_healthy("orders")
        self.wait_archived(len(self.archived()) + 1)

        states = self.archived()
        previous = []
        for _, seq, _, name in states:
            did, rows = self.restored("--position", str(seq))
            self.assertEqual((did["backup"], did["position"]), (name, seq))
            self.assertEqual(rows, self.written[:len(rows)], "a prefix of what was written")
            self.assertGreaterEqual(len(rows), len(previous))
            previous = rows
        # Between two states: the earlier one, and the other is told.
        earlier, later = states[-2], states[-1]
        did, _ = self.restored("--position", str(later[1] - 1))
        self.assertEqual((did["backup"], did["next"]["backup"]), (earlier[3], later[3]))
        did, _ = self.restored("--at", did["committed"])
        self.assertEqual(did["backup"], earlier[3])
        result = self.lab.run("backup", "verify", "orders", later[3], "--repo", self.repository)
        self.assertEqual(result.returncode, 0, result.stderr)

        self.lab.ok("db", "set", "orders", "--archive-interval", "0s")

    def test_what_was_wrong_is_undone_in_place(self):
        self.lab.ok("db", "set", "orders", "--archive-interval", "1s")
        self.wait_archived(2)
        good = content(self.path)
        before = self.position()
        self.wait_until_archived(before)
        state = max(seq for _, seq, _, _ in self.archived())
        self.application.execute("DROP TABLE t")
        self.application.commit()
        result = self.lab.run("restore", "--in-place", "--db", "orders", "--position", str(state), "--yes", "-o", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["restore"]["position"], state)
        self.assertEqual(content(self.path), good)
        self.lab.ok("wait", "orders", "--replayed")
        for copy in self.lab.status("orders")["copies"]:
            self.assertEqual(content(copy["path"]), good, copy["server"])

    def wait_until_archived(self, seq):
        wait_until(lambda: max(found for _, found, _, _ in self.archived()) >= seq, f"{seq} is archived", LIMIT_S)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
