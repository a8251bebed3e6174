#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Truncation of log after backups, who holds it, stragglers, and which copy is backed up.

    truncation_test.py UNDERSTUDY [TEST…]
"""

import json
import os
import sqlite3
import subprocess
import sys
import unittest

import failover_test as base

MIB = 1 << 20


class Truncation(base.FailoverCase):
    def setUp(self):
        super().setUp()
        self.repository = os.path.join(self.lab.temp.name, "repository")

    def write(self, mebibytes):
        """Log of about that size: nothing of it can be compressed."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("CREATE TABLE IF NOT EXISTS blobs(x)")
        for _ in range(mebibytes * 8):
            connection.execute("INSERT INTO blobs VALUES (randomblob(131072))")
        connection.close()

    def copy(self, server):
        copies = self.lab.ask("status", "orders")["databases"][0]["copies"]
        return next(c for c in copies if c["server"] == server)

    def log_bytes(self, server):
        directory = os.path.join(self.lab.directory, server, "data", "orders", "log")
        return sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory))

    def backup(self, *options):
        return self.lab.ask("backup", "run", "orders", "--to", self.repository, *options)["backup"]

    def holds(self):
        return {(h["server"], h["hold"]): h for h in self.lab.ask("holds", "orders")["holds"]}

    def events(self, number):
        return self.lab.events("orders", number)

    def test_full_and_incremental_backups_truncate_every_copy_and_others_none(self):
        self.lab.ok("db", "set", "orders", "--circular-logging", "off")
        self.write(6)
        self.lab.ok("wait", "orders", "--replayed")
        base.wait_until(lambda: ("s2", "last backup") in self.holds(), "log waits for a backup")
        self.assertIn("circular logging is off", self.holds()["s1", "last backup"]["reason"])
        self.backup("--type", "copy")
        for server in ("s1", "s2", "s3"):
            self.assertGreater(self.log_bytes(server), 6 * MIB)
        full = self.backup("--type", "full")
        for server in ("s1", "s2", "s3"):
            base.wait_until(lambda: self.log_bytes(server) < 3 * MIB, f"log of {server} goes")
        told = [e for e in self.events(224) + self.events(225) if full["id"] in e["message"]]
        self.assertEqual(sorted(e["server"] for e in told), ["s1", "s2", "s3"])
        self.write(5)
        self.lab.ok("wait", "orders", "--replayed")
        self.backup("--type", "differential")
        self.assertGreater(self.log_bytes("s2"), 5 * MIB)
        # Incremental backups and circular logging do not need each other.
        self.lab.ok("db", "set", "orders", "--circular-logging", "on")
        incremental = self.backup("--type", "incremental")
        for server in ("s1", "s2", "s3"):
            base.wait_until(lambda: self.log_bytes(server) < 3 * MIB, f"log of {server} goes again")
        self.lab.ok("backup", "verify", "orders", incremental["id"], "--repo", self.repository)
        self.assert_equal_copies()

    def test_a_suspended_copy_is_let_go_beyond_its_bound_and_comes_back_by_pages(self):
        self.lab.ok("config", "set", "LogKeptForStragglerInMB", "4")
        self.lab.ok("wait", "orders", "--replayed")
        self.lab.ok("copy", "suspend", "orders", "s3")
        self.write(2)
        self.backup("--from", "s2")
        base.wait_until(lambda: [e for e in self.events(224) + self.events(225) if e["server"] == "s1"],
                        "the active copy has heard of the backup")
        self.assertIn(("s1", "passive s3"), self.holds())
        self.assertIsNone(self.copy("s3")["needs_resync"])
        self.write(8)
        self.lab.ok("wait", "orders", "--replayed", "--servers", "s2")
        self.backup("--from", "s2", "--type", "incremental")
        base.wait_until(lambda: self.copy("s3")["needs_resync"], "the straggler is let go")
        self.assertIn("LogKeptForStragglerInMB", self.copy("s3")["needs_resync"])
        for server in ("s1", "s2"):
            base.wait_until(lambda: self.log_bytes(server) < 4 * MIB, f"the log of {server} is bounded")
        events = self.events(2085)
        self.assertEqual(len(events), 1, events)
        self.assertIn("orders on s3", events[0]["message"])
        self.assertIn("needs a resync by pages", self.lab.ok("status", "orders"))
        self.lab.ok("copy", "resume", "orders", "s3")
        base.wait_until(lambda: self.events(2034), "it is resynchronised by pages")
        self.assert_equal_copies()
        base.wait_until(lambda: self.copy("s3")["needs_resync"] is None, "and is marked no longer")
        self.assertIn(("s1", "passive s3"), self.holds())

    def test_a_full_disk_takes_a_dead_copys_log_too(self):
        self.lab.ok("wait", "orders", "--replayed")
        self.lab.ok("lab", "kill", "s3")
        self.write(12)
        self.lab.ok("wait", "orders", "--replayed", "--servers", "s2")
        # More than any disk has: it is low at once.
        self.lab.ok("config", "set", "LooseTruncation_MinDiskFreeSpaceThresholdInMB", str(1 << 39))
        self.backup("--from", "s2")
        base.wait_until(lambda: self.copy("s3")["needs_resync"], "the dead copy is let go")
        base.wait_until(lambda: self.log_bytes("s1") < 4 * MIB, "its log goes")
        self.assertTrue(self.events(2086))
        self.lab.ok("lab", "start", "s3")
        self.assert_equal_copies()
        base.wait_until(lambda: self.copy("s3")["needs_resync"] is None, "it follows again")

    def test_a_running_backup_is_a_hold_with_its_name(self):
        go = os.path.join(self.lab.temp.name, "go")
        process = subprocess.Popen([base.UNDERSTUDY, "backup", "exec", "orders", "--from", "s2", "--", "sh", "-c",
                                    f"for i in $(seq 2400); do [ -e {go} ] && break; sleep 0.05; done"], env=self.lab.environment | {
                                        "UNDERSTUDY_SERVER": "s2"})
        self.addCleanup(process.kill)

        def held(server):
            return [h for (at, name), h in self.holds().items() if at == server and name.startswith("backup ")]
        for server in ("s1", "s2"):
            base.wait_until(lambda: held(server), f"the backup holds log on {server}")
            self.assertIn("the backup of the copy on s2 runs", held(server)[0]["reason"])
        # A second one that does not want to wait is told at once who has the turn; others wait for an hour.
        result = self.lab.run("backup", "run", "orders", "--from", "active", "--no-wait", "--to", self.repository)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "backup .* of the passive copy on s2, for backup exec.*RETRYABLE")
        waiting = subprocess.Popen([base.UNDERSTUDY, "backup", "run", "orders", "--from", "active", "--to",
                                    self.repository], env=self.lab.environment | {"UNDERSTUDY_SERVER": "s1"},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(waiting.kill)
        base.wait_until(lambda: self.lab.ask("holds", "orders")["waiting"], "the second one waits")
        open(go, "w", encoding="ascii").close()
        self.assertEqual((process.wait(60), waiting.wait(60)), (0, 0))
        base.wait_until(lambda: not held("s1") and not held("s2"), "the holds are released")

    # --- which copy ---

    def explain(self, *options, server="s1"):
        return self.lab.ask("backup", "run", "orders", "--explain", *options, server=server)

    def test_the_policy_chooses_and_says_why(self):
        self.lab.ok("wait", "orders", "--replayed")
        answer = self.explain("--from", "passive:s3,active")
        self.assertEqual((answer["server"], answer["policy"]), ("s3", "passive:s3,active"))
        verdicts = {c["server"]: c["verdict"] for c in answer["candidates"]}
        self.assertIn("by item passive:s3", verdicts["s3"])
        self.assertIn("does not allow", verdicts["s2"])
        self.assertEqual(self.backup("--from", "passive:s3,active")["server"], "s3")
        self.lab.ok("copy", "suspend", "orders", "s3")
        base.wait_until(lambda: self.explain("--from", "passive:s3,active")["server"] == "s1", "the next item decides")
        self.lab.ok("copy", "resume", "orders", "s3")
        self.lab.ok("copy", "lag", "orders", "s3", "1h")
        self.lab.ok("copy", "suspend", "orders", "s2")
        base.wait_until(lambda: self.explain("--from", "passive,active")["server"] == "s1", "a lagged copy comes last")
        self.assertEqual(self.explain("--from", "passive")["server"], "s3")
        result = self.lab.run("backup", "run", "orders", "--from", "passive;active", "--to", self.repository)
        self.assertEqual(result.returncode, 2)
        self.assertIn("least-loaded", result.stderr)

    def test_the_same_command_can_be_scheduled_on_every_server(self):
        self.lab.ok("config", "set", "BackupSourcePolicy", "passive:s3,least-loaded")
        self.lab.ok("wait", "orders", "--replayed")
        base.wait_until(lambda: self.explain()["server"] == "s3", "the setting counts")
        for server in ("s1", "s2"):
            result = self.lab.run("backup", "run", "orders", "--here", "--to", self.repository, server=server)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("nothing to do here: the copy of orders on s3", result.stdout)
        taken = self.lab.ask("backup", "run", "orders", "--here", "--to", self.repository, server="s3")
        self.assertEqual(taken["backup"]["server"], "s3")
        listed = self.lab.ask("backup", "list", "orders", "--repo", self.repository)["backups"]
        self.assertEqual(len(listed), 1)
        result = self.lab.run("config", "set", "BackupSourcePolicy", "nobody at all")
        self.assertEqual(result.returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
