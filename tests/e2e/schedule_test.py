#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Repositories of a group, and what its servers do to backups by themselves at certain times.

    schedule_test.py UNDERSTUDY [TEST…]

Each run is made once, by the server whose copy is the source, and is made up for when that server dies in the middle.
"""

import json
import os
import subprocess
import sys
import unittest

from backup_types_test import BackupCase
from failover_test import wait_until
import failover_test as base

LIMIT_S = 60


class Schedules(BackupCase):
    servers, rows, row_bytes = 3, 300, 300

    def setUp(self):
        super().setUp()
        self.lab.ok("copy", "add", "orders", "s3")
        self.lab.wait_healthy("orders")
        self.place = os.path.join(self.lab.temp.name, "place")
        os.mkdir(self.place)
        self.lab.ok("repository", "add", "offsite", self.place, "--keep-full", "2")

    def run_of(self, schedule, server="s1"):
        return self.lab.ask("schedule", "list", schedule, server=server)["runs"][0]

    def wait_run(self, schedule, holds, what, server="s1"):
        wait_until(lambda: holds(self.run_of(schedule, server)), what, LIMIT_S)
        return self.run_of(schedule, server)

    def backups(self, server="s1"):
        return self.lab.ask("backup", "list", "orders", "--repo", "offsite", server=server)["backups"]

    def refused(self, *arguments):
        result = self.lab.run(*arguments)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        return result.stderr

    def hold_the_turn(self):
        """A backup that has the turn until the returned process is told to end."""
        holder = subprocess.Popen([base.UNDERSTUDY, "backup", "exec", "orders", "--from", "active", "--", "cat"],
                                  env=self.lab.environment | {"UNDERSTUDY_SERVER": "s1"}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.addCleanup(holder.kill)
        wait_until(lambda: self.lab.ask("holds", "orders")["backup"], "the turn is held", LIMIT_S)
        return holder

    def test_a_repository_has_a_name_on_every_server(self):
        self.lab.ok("backup", "run", "orders", "--to", "offsite", server="s3")
        self.assertEqual(self.backups("s2"), self.backups("s3"))
        self.assertEqual(len(self.backups()), 1)
        checks = self.lab.ask("repository", "check", "offsite")["checks"]
        self.assertEqual({check["server"]: check["state"] for check in checks}, dict.fromkeys(["s1", "s2", "s3"], "Good"))
        self.assertEqual(os.listdir(self.place).count("orders"), 1)
        self.assertFalse([name for name in os.listdir(self.place) if name.startswith("understudy-check")])
        output = os.path.join(self.lab.temp.name, "restored.db")
        self.lab.ok("restore", "--repo", "offsite", "--db", "orders", "--output", output, "--check")

        self.assertIn("known are offsite", self.refused("backup", "run", "orders", "--to", "onsite"))
        self.assertIn("in this group already", self.refused("repository", "add", "offsite", self.place))
        self.assertIn("--unchecked", self.refused("repository", "add", "far", os.path.join(self.place, "not-there")))
        self.lab.ok("schedule", "add", "nightly", "full", "02:00", "--repo", "offsite")
        self.assertIn("schedule nightly uses", self.refused("repository", "remove", "offsite"))
        self.lab.ok("schedule", "remove", "nightly")
        self.lab.ok("repository", "remove", "offsite")
        self.assertIn("there is none yet", self.refused("backup", "run", "orders", "--to", "offsite"))

    def test_runs_are_made_once_by_the_source_and_pruned(self):
        self.lab.ok("schedule", "add", "often", "full", "*:*:0/2", "--repo", "offsite", "--from", "passive:s3")
        self.wait_run("often", lambda run: run["last"] == "done", "one is taken")
        wait_until(lambda: len(self.backups()) >= 4, "four backups are taken", LIMIT_S)
        self.lab.ok("schedule", "pause", "often")
        wait_until(lambda: self.run_of("often")["last"] == "done", "the last one has ended", LIMIT_S)
        self.assertEqual(self.run_of("often")["next"], None)
        taken = self.backups()
        self.assertEqual({backup["server"] for backup in taken}, {"s3"})
        begun = self.lab.events("orders", 2040)
        self.assertEqual(len(begun), len(taken), "each was begun once")

        self.lab.ok("backup", "keep", "orders", taken[-1]["id"], "on", "--repo", "offsite")
        plan = self.lab.ask("backup", "prune", "orders", "--repo", "offsite", "--dry-run")
        self.assertEqual(plan["removed"], len(taken) - 3)
        self.lab.ok("schedule", "add", "tidy", "prune", "yearly", "--repo", "offsite")
        self.lab.ok("schedule", "run", "tidy")
        run = self.wait_run("tidy", lambda run: run["last"] == "done", "it is pruned")
        self.assertEqual(run["result"], f"{len(taken) - 3} of {len(taken)} removed")
        left = self.backups()
        self.assertEqual({backup["id"] for backup in left}, {taken[0]["id"], taken[1]["id"], taken[-1]["id"]})
        self.assertEqual([backup["kept"] for backup in left], [False, False, True])
        self.assertEqual(len(self.lab.events("orders", 2185)), 1)

    def test_a_drill_finds_what_a_restore_would(self):
        self.lab.ok("backup", "run", "orders", "--to", "offsite")
        self.lab.ok("schedule", "add", "trial", "drill", "yearly", "--repo", "offsite")
        self.lab.ok("schedule", "run", "trial")
        self.wait_run("trial", lambda run: run["last"] == "done", "the drill is done")
        drills = self.lab.ask("backup", "list", "orders", "--repo", "offsite")["drills"]
        self.assertEqual([drill["drill"] for drill in drills], ["Good"])

        folder = os.path.join(self.place, "orders", "ltx", "9")
        with open(os.path.join(folder, os.listdir(folder)[0]), "r+b") as data:
            data.seek(500)
            data.write(b"damage")
        self.assertIn("could not be restored on trial", self.refused("backup", "drill", "orders", "--repo", "offsite"))
        self.lab.ok("schedule", "run", "trial")
        run = self.wait_run("trial", lambda run: run["last"] == "failed", "the drill has failed")
        self.assertIn("orders", run["message"])
        self.assertGreaterEqual(len(self.lab.events("orders", 2184)), 2)
        for server in ("s1", "s2", "s3"):
            scratch = os.path.join(self.lab.directory, server, ".restored")
            self.assertFalse(os.path.exists(scratch) and os.listdir(scratch), "the scratch file is gone")

    def test_a_daemon_that_is_killed_goes_on_with_its_run(self):
        holder = self.hold_the_turn()
        self.lab.ok("schedule", "add", "nightly", "full", "yearly", "--repo", "offsite", "--from", "passive:s2")
        self.lab.ok("schedule", "run", "nightly")
        self.wait_run("nightly", lambda run: run["last"] == "running" and run["result"], "it waits for its turn")
        self.lab.ok("lab", "kill", "s2")
        self.lab.ok("lab", "start", "s2")
        holder.stdin.close()
        run = self.wait_run("nightly", lambda run: run["last"] == "done", "it is done")
        self.assertEqual((run["server"], run["attempts"]), ("s2", 1))
        self.assertEqual([backup["id"] for backup in self.backups()], [run["result"]])

    def test_another_server_makes_up_for_one_that_does_not_come_back(self):
        self.lab.ok("config", "set", "BackupLeaseInMsec", "5000")  # of the one that is killed
        holder = self.hold_the_turn()
        self.lab.ok("schedule", "add", "nightly", "full", "yearly", "--repo", "offsite")
        self.lab.ok("schedule", "run", "nightly")
        first = self.wait_run("nightly", lambda run: run["last"] == "running" and run["result"], "it waits for its turn")
        self.lab.ok("lab", "kill", first["server"])
        holder.stdin.close()
        run = self.wait_run("nightly", lambda run: run["last"] == "done", "it is done")
        self.assertEqual(run["attempts"], 2)
        self.assertNotEqual(run["server"], first["server"])
        self.assertEqual([backup["server"] for backup in self.backups()], [run["server"]])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
