#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sixteen databases are backed up at once, while they are written and while the daemon that does it is killed.

    many_backups_test.py UNDERSTUDY [TEST…]
"""

import os
import sqlite3
import subprocess
import sys
import threading
import unittest

from backup_types_test import execute
import failover_test as base

DATABASES = 16
ROWS = 4000


class ManyBackups(unittest.TestCase):
    def setUp(self):
        self.lab = base.Lab(2)
        self.addCleanup(self.lab.close)
        self.repository = os.path.join(self.lab.temp.name, "repository")
        self.names = [f"db{number:02}" for number in range(DATABASES)]
        self.paths = {name: os.path.join(self.lab.temp.name, name + ".db") for name in self.names}
        for name, path in self.paths.items():
            execute(path, "PRAGMA journal_mode=WAL", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
                    f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {ROWS}) "
                    "INSERT INTO t SELECT x, randomblob(500) FROM n")
            self.lab.ok("db", "add", name, path, "--copies", "s2")
        for name in self.names:
            self.lab.wait_healthy(name)
        self.stop = threading.Event()
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.writer.start()
        self.addCleanup(self.end_writer)

    def write(self):
        connections = [sqlite3.connect(path, timeout=30, isolation_level=None) for path in self.paths.values()]
        while not self.stop.wait(0.01):
            for connection in connections:
                connection.execute("INSERT INTO t(b) VALUES (randomblob(100))")
        for connection in connections:
            connection.close()

    def end_writer(self):
        self.stop.set()
        self.writer.join(base.DEADLINE_SECONDS)

    def begin(self, kind, to):
        command = [base.UNDERSTUDY, "backup", "run", "", "--to", to, "--type", kind, "--from", "passive:s2"]
        environment = self.lab.environment | {"UNDERSTUDY_SERVER": "s1"}
        return {name: subprocess.Popen([*command[:3], name, *command[4:]], env=environment, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for name in self.names}

    def end(self, running):
        for name, command in running.items():
            self.addCleanup(command.kill)
            _, errors = command.communicate(timeout=2 * base.DEADLINE_SECONDS)
            self.assertEqual(command.returncode, 0, f"{name}: {errors}")

    def all_transfer(self):
        sessions = [writer["session"] for writer in self.lab.ask("writers")["writers"] if writer["server"] == "s2"]
        have_snapshots = [any(step["event"] == "PostSnapshot" for step in session["steps"]) for session in sessions if session]
        return have_snapshots == [True] * DATABASES

    def test_sixteen_at_once_and_the_daemon_is_killed(self):
        self.end(self.begin("full", self.repository))
        for name, path in self.paths.items():
            execute(path, "UPDATE t SET b = randomblob(500)")
            self.lab.ok("wait", name, "--replayed")
        # Slow enough that all are at it when the daemon is killed.
        running = self.begin("incremental", self.repository + "?rate=1MiB")
        base.wait_until(self.all_transfer, "all are at it")
        self.lab.ok("lab", "kill", "s2")
        self.lab.ok("lab", "start", "s2")
        self.end(running)
        for name in self.names:
            output = os.path.join(self.lab.temp.name, "restored.db")
            self.lab.ok("restore", "--repo", self.repository, "--db", name, "--output", output, "--force")
            restored = sqlite3.connect(output)
            self.assertEqual(restored.execute("PRAGMA integrity_check").fetchone()[0], "ok")
            count, newest = restored.execute("SELECT count(*), max(a) FROM t").fetchone()
            restored.close()
            self.assertEqual(count, newest)  # nothing missing in between
            self.assertGreater(count, ROWS)
            self.lab.ok("backup", "verify", name, "--repo", self.repository)
        self.assertEqual(self.lab.ask("holds", self.names[0])["backup"], None)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
