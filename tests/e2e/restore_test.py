#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restores onto an existing file and into the active copy, through the command and real daemons.

    restore_test.py UNDERSTUDY [TEST…]

Whatever is killed, a file is the old database, the new one, or refused by SQLite until the restore is given again; what is in
use is refused; the group gets a backup's content by its log, and what that undoes is kept.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import unittest

import failover_test as base
from backup_types_test import BackupCase, execute

ROWS = 12000
KILLS = 25


def content(path):
    connection = sqlite3.connect(path, timeout=30)
    try:
        found = connection.execute("SELECT a, b FROM t ORDER BY a").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
    return found


class Restores(BackupCase):
    rows, row_bytes = ROWS, 900

    def take(self, kind="full"):
        self.lab.ok("wait", "orders", "--replayed")
        result = self.lab.ok("backup", "run", "orders", "--to", self.repository, "--type", kind, "-o", "json")
        return json.loads(result)["backup"]

    def restore(self, *options):
        return self.lab.run("restore", "--repo", self.repository, "--db", "orders", *options)

    def restored(self, *options):
        result = self.restore(*options, "-o", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["restore"]

    def refused(self, *options):
        result = self.restore(*options)
        self.assertEqual(result.returncode, 1, result.stdout)
        return result.stderr


class Onto(Restores):
    def setUp(self):
        super().setUp()
        self.full = self.take()
        self.first = content(self.path)
        execute(self.path, "UPDATE t SET b = 1 WHERE a % 1000 = 7", f"INSERT INTO t VALUES({ROWS + 1}, 'last')")
        self.increment = self.take("incremental")
        self.second = content(self.path)
        self.file = os.path.join(self.lab.temp.name, "mine.db")

    def test_only_what_differs_is_written(self):
        self.restored("--output", self.file, "--backup", self.full["id"], "--check")
        self.assertEqual(content(self.file), self.first)
        did = self.restored("--onto", self.file, "--check")
        self.assertEqual(content(self.file), self.second)
        self.assertEqual((did["backup"], did["integrity_check"], did["was_half_restored"]), (self.increment["id"], "ok", False))
        self.assertEqual(did["kept"] + did["written"], did["size"])
        self.assertGreater(did["kept"], did["size"] * 9 // 10)
        self.assertGreater(did["written"], 0)
        again = self.restored("--onto", self.file)
        self.assertEqual((again["written"], again["kept"]), (0, again["size"]))
        self.assertNotIn("mine.db.restoring", os.listdir(self.lab.temp.name))
        # A WAL that was left is not applied to what is restored.
        connection = sqlite3.connect(self.file)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE t SET b = 2")
        connection.commit()
        for suffix in ("", "-wal"):
            shutil.copy(self.file + suffix, self.file + ".crashed" + suffix)
        connection.close()
        self.restored("--onto", self.file + ".crashed", "--backup", self.full["id"])
        self.assertEqual(content(self.file + ".crashed"), self.first)

    def test_by_position_and_time(self):
        between = self.full["position"]
        did = self.restored("--output", self.file, "--position", str(self.increment["position"] - 1))
        self.assertEqual((did["backup"], did["next"]["backup"]), (self.full["id"], self.increment["id"]))
        self.assertEqual(content(self.file), self.first)
        last = self.restored("--onto", self.file, "--at", "2999-01-01T00:00:00Z")
        self.assertEqual((last["backup"], last["next"]), (self.increment["id"], None))
        self.assertEqual(content(self.file), self.second)
        self.assertEqual(self.restored("--onto", self.file, "--at", did["committed"])["backup"], self.full["id"])
        said = self.refused("--output", self.file + ".none", "--at", "2001-01-01T00:00:00Z")
        self.assertIn(f"position {between}", said)
        plan = json.loads(self.lab.ok("restore", "--in-place", "--db", "orders", "--repo", self.repository, "--dry-run",
                                      "--position", str(between), "-o", "json"))["restore"]
        self.assertEqual((plan["backup"], plan["next"]["backup"]), (self.full["id"], self.increment["id"]))

    def test_what_is_in_use_is_refused(self):
        shutil.copy(self.path, self.file)
        before = content(self.file)
        reader = sqlite3.connect(self.file)
        reader.execute("SELECT count(*) FROM t").fetchall()
        for where in (("--onto", self.file), ("--output", self.file, "--force")):
            said = self.refused(*where, "--backup", self.full["id"])
            self.assertIn(f"in use by process {os.getpid()}", said)
        reader.close()
        self.assertEqual(content(self.file), before)
        said = self.refused("--onto", self.path)
        self.assertIn("understudyd", said)
        passive = next(c["path"] for c in self.lab.status("orders")["copies"] if c["server"] == "s2")
        self.assertIn("data directory of a server", self.refused("--onto", passive))
        self.lab.ok("lab", "kill", "s2")
        self.assertIn("data directory of a server", self.refused("--onto", passive))
        self.assertIn("data directory of a server", self.refused("--output", passive, "--force"))
        self.assertIn("no such file", self.refused("--onto", self.file + ".none"))
        with open(self.file, "w") as letter:
            letter.write("Dear reader, this is no database.")
        self.assertIn("no SQLite database", self.refused("--onto", self.file))

    def test_a_killed_restore_is_finished_by_the_next(self):
        execute(self.path, "UPDATE t SET b = randomblob(900)")
        third = self.take()
        after = content(self.path)
        original = self.file + ".original"
        self.restored("--output", original, "--backup", self.full["id"])
        command = [base.UNDERSTUDY, "restore", "--repo", self.repository, "--db", "orders", "--onto", self.file,
                   "--backup", third["id"]]
        shutil.copy(original, self.file)
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        takes = time.monotonic() - began
        seen = set()
        for _ in range(KILLS):
            shutil.copy(original, self.file)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=random.uniform(0, takes))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            try:
                found = content(self.file)
                self.assertIn(found, (self.first, after))
                seen.add("old" if found == self.first else "new")
            except sqlite3.DatabaseError as error:
                self.assertIn("file is not a database", str(error))
                seen.add("half")
            self.restored("--onto", self.file, "--backup", third["id"])
            self.assertEqual(content(self.file), after)
        print("killed restores left:", sorted(seen))


class InPlace(Restores):
    rows, row_bytes, servers = 3000, 300, 3

    def in_place(self, *options, server="s1"):
        result = self.lab.run("restore", "--in-place", "--db", "orders", "--repo", self.repository, *options, "-o", "json",
                              server=server)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["restore"]

    def assert_copies_have(self, rows):
        self.lab.ok("wait", "orders", "--replayed")
        for copy in self.lab.status("orders")["copies"]:
            self.assertEqual(content(copy["path"]), rows, copy["server"])

    def test_a_dropped_table_is_back_everywhere_and_can_be_dropped_again(self):
        self.lab.ok("copy", "add", "orders", "s3")
        self.lab.wait_healthy("orders")
        full = self.take()
        first = content(self.path)
        application = sqlite3.connect(self.path, timeout=10)  # is not asked to reconnect
        application.execute("CREATE TABLE later(x)")
        application.execute("DROP TABLE t")
        application.commit()
        self.assertEqual(self.in_place("--dry-run")["backup"], full["id"])
        said = self.lab.run("restore", "--in-place", "--db", "orders", "--repo", self.repository)
        self.assertEqual(said.returncode, 1)
        self.assertIn("--yes", said.stderr)
        self.assertEqual(application.execute("SELECT count(*) FROM later").fetchone(), (0,), "nothing was changed")

        # Asked of a third server; the repository is on the passive copy's; the active copy is on s1.
        did = self.in_place("--backup", full["id"], "--on", "s2", "--yes", server="s3")
        self.assertEqual((did["server"], did["active"], did["commits_meanwhile"]), ("s2", "s1", 0))
        self.assertEqual(application.execute("SELECT count(*) FROM t").fetchone(), (len(first),))
        with self.assertRaisesRegex(sqlite3.OperationalError, "no such table: later"):
            application.execute("SELECT * FROM later")
        application.execute("INSERT INTO t VALUES(999999, 'goes on')")
        application.commit()
        self.assert_copies_have(first + [(999999, "goes on")])
        events = self.lab.ok("events", "--id", "2037")
        self.assertIn(f"that of backup {full['id']}", events)
        resyncs = [event for event in json.loads(self.lab.ok("events", "-o", "json"))["events"]
                   if event["number"] in (2030, 2033) and event["database"] == "orders"]
        self.assertEqual(len(resyncs), 2, "no copy was seeded again")

        # What was there before is a backup, and comes back by the same command.
        again = self.in_place("--backup", did["kept"], "--no-copy", "--yes")
        self.assertIsNone(again["kept"])
        self.assertEqual(application.execute("SELECT count(*) FROM later").fetchone(), (0,))
        self.lab.ok("wait", "orders", "--replayed")
        application.close()

    def test_a_backup_of_another_database_is_refused(self):
        self.take()
        self.lab.ok("db", "remove", "orders")
        self.lab.ok("db", "add", "orders", self.path, "--copies", "s2")
        self.lab.wait_healthy("orders")
        said = self.lab.run("restore", "--in-place", "--db", "orders", "--repo", self.repository, "--yes")
        self.assertEqual(said.returncode, 1)
        self.assertIn("another database that was called orders", said.stderr)
        self.in_place("--force", "--no-copy", "--yes")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
