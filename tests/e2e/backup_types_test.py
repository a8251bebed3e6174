#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Incremental and differential backups of a group's database, through the daemons and the command.

    backup_types_test.py UNDERSTUDY [TEST…]

Each is small, based on the right one and restored to what the database was; a chain that cannot be used is refused with
what to do, when the next one is taken and when it is restored.
"""

import json
import os
import shutil
import sqlite3
import sys
import unittest

import failover_test as base


def execute(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    for statement in statements:
        connection.execute(statement)
    connection.close()


class BackupCase(base.FailoverCase):
    """A database with a passive copy on s2, and a repository."""
    servers = 2
    rows, row_bytes = 3000, 400

    def setUp(self):
        self.lab = base.Lab(self.servers, self.coordinator)
        self.addCleanup(self.lab.close)
        self.path = os.path.join(self.lab.temp.name, "orders.db")
        self.repository = os.path.join(self.lab.temp.name, "repository")
        execute(self.path, "PRAGMA journal_mode=WAL", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
                f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {self.rows}) "
                f"INSERT INTO t SELECT x, randomblob({self.row_bytes}) FROM n")
        self.lab.ok("db", "add", "orders", self.path, "--copies", "s2")
        self.lab.wait_healthy("orders")


class BackupTypes(BackupCase):
    def write(self, *statements):
        execute(self.path, *statements)

    def content(self, path=None):
        connection = sqlite3.connect(path or self.path)
        found = connection.execute("SELECT a, b FROM t ORDER BY a").fetchall()
        connection.close()
        return found

    def command(self, kind, *options):
        return ("backup", "run", "orders", "--to", self.repository, "--type", kind, *options)

    def take(self, kind, *options):
        self.lab.ok("wait", "orders", "--replayed")
        return json.loads(self.lab.ok(*self.command(kind, *options), "-o", "json"))["backup"]

    def refused(self, kind):
        result = self.lab.run(*self.command(kind))
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        return result.stderr

    def restore(self, *options):
        output = os.path.join(self.lab.temp.name, "restored.db")
        result = self.lab.run("restore", "--repo", self.repository, "--db", "orders", "--output", output, "--force", *options)
        return result, output

    def test_a_backup_that_would_take_too_long_is_not_begun(self):
        self.take("full")
        self.write("UPDATE t SET b = randomblob(401)")
        self.lab.ok("wait", "orders", "--replayed")
        result = self.lab.run(*self.command("full", "--within", "1ms"))
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn("it would take about", result.stderr)
        self.assertIn("--within", result.stderr)
        self.assertEqual(len(self.lab.ask("backup", "list", "orders", "--repo", self.repository)["backups"]), 1)
        self.take("full", "--within", "1h")

    def assert_restored(self, backup, content):
        result, output = self.restore("--backup", backup["id"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.content(output), content)
        self.lab.ok("backup", "verify", "orders", backup["id"], "--repo", self.repository)

    def test_a_chain_is_small_and_restores_every_state(self):
        taken = [(self.take("full"), self.content())]
        plan = [("incremental", 0, "UPDATE t SET b = 1 WHERE a = 1500"),
                ("copy", None, "UPDATE t SET b = 2 WHERE a = 1500"),
                ("incremental", 1, "INSERT INTO t SELECT a + 3000, b FROM t WHERE a < 100"),
                ("differential", 0, "DELETE FROM t WHERE a > 3000"),
                ("incremental", 4, "UPDATE t SET b = 3 WHERE a = 7")]
        for kind, basis, statement in plan:
            self.write(statement)
            backup = self.take(kind)
            self.assertEqual((backup["type"], backup["base"]),
                             (kind, None if basis is None else taken[basis][0]["id"]))
            if kind != "copy":
                self.assertLess(backup["stored"], taken[0][0]["stored"] / 4)
            taken.append((backup, self.content()))
        same = self.take("incremental")
        self.assertEqual((same["stored"], same["base"]), (0, taken[-1][0]["id"]))
        taken.append((same, self.content()))
        for backup, content in taken:
            self.assert_restored(backup, content)
        listed = self.lab.ask("backup", "list", "orders", "--repo", self.repository)["backups"]
        self.assertEqual({b["id"]: (b["type"], b["base"]) for b in listed},
                         {b["id"]: (b["type"], b["base"]) for b, _ in taken})
        shown = self.lab.ask("backup", "show", "orders", taken[1][0]["id"], "--repo", self.repository)["backup"]
        self.assertEqual(shown["document"]["base"], taken[0][0]["id"])
        # From another copy: states are compared, whoever has them.
        self.write("UPDATE t SET b = 4 WHERE a = 8")
        last = self.take("incremental", "--from", "active")
        self.assertEqual((last["role"], last["base"]), ("active", same["id"]))
        self.assert_restored(last, self.content())

    def test_without_a_base_it_says_what_to_do(self):
        said = self.refused("incremental")
        self.assertIn("there is no full backup that an incremental one could be based on", said)
        self.assertIn("--or-full", said)
        self.take("copy")
        self.assertIn("there is no full backup", self.refused("differential"))
        writer = next(w for w in self.lab.ask("writers", "orders")["writers"] if w["server"] == "s2")
        self.assertEqual(writer["state"]["number"], 1)
        result = self.lab.run(*self.command("incremental", "--or-full"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("taken as a full backup instead of incremental: there is no full backup", result.stderr)
        listed = self.lab.ask("backup", "list", "orders", "--repo", self.repository)["backups"]
        self.assertEqual([b["type"] for b in listed], ["full", "copy"])
        self.write("UPDATE t SET b = 1 WHERE a = 1")
        self.assertEqual(self.take("incremental", "--or-full")["type"], "incremental")

    def test_a_broken_chain_is_refused_before_anything_is_made(self):
        full = self.take("full")
        self.write("UPDATE t SET b = 1 WHERE a = 1")
        increment = self.take("incremental")
        self.write("UPDATE t SET b = 2 WHERE a = 1")
        document = json.loads(self.lab.ok("backup", "show", "orders", full["id"], "--repo", self.repository, "-o", "json"))
        data = os.path.join(self.repository, document["backup"]["document"]["files"][0]["path"])
        shutil.move(data, data + ".away")
        result, output = self.restore("--backup", increment["id"])
        self.assertEqual(result.returncode, 1)
        self.assertIn("is gone", result.stderr)
        self.assertFalse(os.path.exists(output))
        self.assertIn(f"it would be based on backup {increment['id']}", self.refused("incremental"))
        shutil.move(data + ".away", data)
        with open(data, "r+b") as file:
            file.seek(200)
            file.write(b"damage")
        self.assertEqual(self.lab.run("backup", "verify", "orders", increment["id"], "--repo", self.repository).returncode, 1)
        self.assertIn("was found damaged", self.refused("incremental"))
        self.assertEqual(self.take("incremental", "--or-full")["type"], "full")
        result, output = self.restore()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.content(output), self.content())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
