#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recovery databases: a backup's content beside the live database. And new copies whose pages a backup gives.

    recovery_test.py UNDERSTUDY [TEST…]
"""

import os
import re
import sqlite3
import sys
import unittest

from backup_types_test import BackupCase, execute


class Recovery(BackupCase):
    servers, rows, row_bytes = 2, 200, 100

    def refused(self, *arguments):
        result = self.lab.run(*arguments)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        return result.stderr

    def test_deleted_rows_are_found_beside_the_live_database(self):
        self.lab.ok("backup", "run", "orders", "--to", self.repository)
        execute(self.path, "DELETE FROM t WHERE a BETWEEN 10 AND 12", "UPDATE t SET b = 'new' WHERE a = 50",
                "INSERT INTO t VALUES (1000, 'later')")
        self.lab.ok("wait", "orders", "--replayed")
        made = self.lab.ask("recovery", "create", "orders", "--name", "yesterday", "--repo", self.repository, "--on", "s2")["recovery"]
        self.assertEqual((made["server"], made["database"]), ("s2", "orders"))
        listed = self.lab.ask("recovery", "list")["recoveries"]
        self.assertEqual(listed, [made])

        differences = self.lab.ask("recovery", "diff", "yesterday")["differences"]
        self.assertEqual([(d["table"], d["only_in_bundle"], d["only_in_copy"], d["changed"]) for d in differences], [("t", 3, 1, 1)])
        self.assertIn("3 rows only in the recovery, 1 only in the copy, 1 changed", self.lab.ok("recovery", "diff", "yesterday"))

        # Rows are taken over by hand, with stock SQLite.
        live = sqlite3.connect(self.path, timeout=30)
        live.execute("ATTACH ? AS yesterday", (made["path"],))
        with live:
            live.execute("INSERT INTO t SELECT * FROM yesterday.t WHERE a BETWEEN 10 AND 12")
        live.close()
        self.lab.ok("wait", "orders", "--replayed")
        differences = self.lab.ask("recovery", "diff", "yesterday")["differences"]
        self.assertEqual([(d["only_in_bundle"], d["only_in_copy"], d["changed"]) for d in differences], [(0, 1, 1)])

        self.assertIn("remove it first", self.refused("recovery", "create", "orders", "--name", "yesterday", "--repo", self.repository,
                                                      "--on", "s2"))
        self.assertIn("known are yesterday on s2", self.refused("recovery", "remove", "today"))
        # It is no copy of anything, and outlives the daemon.
        self.assertEqual(len(self.lab.status("orders")["copies"]), 2)
        self.lab.ok("lab", "kill", "s2")
        self.lab.ok("lab", "start", "s2")
        self.lab.wait_healthy("orders")
        self.assertEqual(self.lab.ask("recovery", "list")["recoveries"], [made])
        self.lab.ok("recovery", "remove", "yesterday")
        self.assertFalse(os.path.exists(made["path"]))
        self.assertEqual(len(self.lab.events("orders", 2170) + self.lab.events("orders", 2171)), 2)


class SeedFromRepository(BackupCase):
    servers, rows, row_bytes = 3, 3000, 400

    def rows_of(self, path):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        found = connection.execute("SELECT a, b FROM t ORDER BY a").fetchall()
        connection.close()
        return found

    def add(self, repository):
        result = self.lab.run("copy", "add", "orders", "s3", "--seed-from-repository", repository)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.lab.wait_healthy("orders")
        self.lab.ok("wait", "orders", "--replayed")
        self.assertEqual(self.rows_of(self.lab.copies("orders")["s3"]["path"]), self.rows_of(self.path))
        return result.stderr

    def test_only_what_differs_from_the_backup_goes_over_the_network(self):
        self.lab.ok("backup", "run", "orders", "--to", self.repository)
        execute(self.path, "UPDATE t SET b = 'changed' WHERE a IN (5, 1500, 2990)", "INSERT INTO t VALUES (9000, 'new')")
        said = self.add(self.repository)
        self.assertIn("what differs is fetched", said)
        resynced = [event["message"] for event in self.lab.events("orders", 2034) if "on s3" in event["message"]]
        received, size = map(int, re.search(r"(\d+) bytes received.*of (\d+) bytes", resynced[-1]).groups())
        self.assertLess(received, size / 5, resynced)
        print(f"{received} bytes over the network for a database of {size}")
        # It is a copy as any other: it follows, can be removed, and added anew.
        execute(self.path, "DELETE FROM t WHERE a < 100")
        self.lab.ok("wait", "orders", "--replayed")
        self.assertEqual(self.rows_of(self.lab.copies("orders")["s3"]["path"]), self.rows_of(self.path))
        self.lab.ok("switchover", "orders", "--to", "s3")

    def test_without_a_backup_all_pages_are_fetched(self):
        said = self.add(self.repository)
        self.assertIn("no backup could be used, so all pages are fetched", said)
        self.assertTrue([event for event in self.lab.events("orders", 2031) if "on s3" in event["message"]])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
