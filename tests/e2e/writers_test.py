#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backup sessions of passive copies: the situation of KB 4037535, and what its article asks to be avoided.

    writers_test.py UNDERSTUDY [TEST…]

The log range cannot be had in time, the connection to the active copy's server is cut during the backup, that server
dies, another backup runs, the database is to be moved, a requester dies, an event fails or hangs: the backup succeeds, or
says why it did not, and the writer is Stable afterwards.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

import failover_test as base

RETRYABLE = "STABLE(0x800423f3 - VSS_E_WRITERERROR_RETRYABLE)"


class Writers(base.FailoverCase):
    def setUp(self):
        super().setUp()
        connection = sqlite3.connect(self.path, isolation_level=None)
        for number in range(1000):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        connection.close()
        self.lab.ok("wait", "orders", "--replayed")
        self.repository = os.path.join(self.lab.temp.name, "repository")

    def writer(self, server, ask="s2"):
        writers = self.lab.ask("writers", "orders", server=ask)["writers"]
        return next(w for w in writers if w["server"] == server)

    def betest(self, *options, server="s2", code=0):
        result = self.lab.run("betest", "orders", *options, "-o", "json", server=server)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return json.loads(result.stdout)

    def exec_in_background(self, script, *options, server="s2"):
        """A requester's program that waits for the file `go`."""
        go = os.path.join(self.lab.temp.name, "go")
        command = [base.UNDERSTUDY, "backup", "exec", "orders", *options, "--", "sh", "-c",
                   f"for i in $(seq 2400); do [ -e {go} ] && break; sleep 0.05; done; {script}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=self.lab.environment | {"UNDERSTUDY_SERVER": server})
        self.addCleanup(process.kill)
        return process, go

    def wait_running(self, server="s2"):
        base.wait_until(lambda: self.writer(server, server)["state"]["number"] == 5, "the requester may copy")

    # --- the writer ---

    def test_every_event_can_fail_and_leaves_the_writer_stable(self):
        states = {"PrepareForBackup": 7, "PrepareForSnapshot": 8, "Freeze": 9, "Thaw": 10, "PostSnapshot": 11,
                  "BackupComplete": 12}
        for event, state in states.items():
            answer = self.betest("--from", "s2", "--fail", event, code=1)
            self.assertEqual(answer["status"], f"Status for writer Understudy Writer (orders): {RETRYABLE}", event)
            failure = answer["writer"]["last_session"]["failure"]
            self.assertEqual((failure["phase"], failure["state"]["number"]), (event, state))
        answer = self.betest("--from", "s2", "--fail", "Freeze=hang", "--limit", "1s", code=1)
        self.assertIn("VSS_E_WRITERERROR_TIMEOUT", answer["status"])
        failure = answer["writer"]["last_session"]["failure"]
        self.assertEqual((failure["setting"], failure["limit_ms"]), ("FreezeTimeoutInMsec", 1000))
        answer = self.betest("--from", "s2")
        self.assertEqual(answer["status"], "Status for writer Understudy Writer (orders): STABLE(0x00000000)")
        steps = [step["event"] for step in answer["writer"]["last_session"]["steps"]]
        self.assertEqual(steps, list(states))
        text = self.lab.ok("writers", "orders")
        self.assertEqual(text.count("   State: [1] Stable\n   Last error: No error\n"), 3, text)
        self.assertEqual(self.lab.run("betest", "orders", "--fail", "Melt").returncode, 1)

    def test_another_program_gets_a_plain_file(self):
        target = os.path.join(self.lab.temp.name, "copied.db")
        self.lab.ok("backup", "exec", "orders", "--", "cp", "{}", target)
        self.assertEqual(base.rows(target), list(range(1000)))
        # Who cannot be trusted with a file that changes gets one that does not.
        writer = base.Writer([self.path])
        process, go = self.exec_in_background(f'cp "$UNDERSTUDY_SNAPSHOT" {target}')
        self.wait_running()
        writer.start()
        base.wait_until(lambda: len(writer.acknowledged) == 0, "the writer has begun")
        open(go, "w", encoding="ascii").close()
        self.assertEqual(process.wait(60), 0, process.stderr.read())
        writer.finish()
        self.assertEqual(base.rows(target), list(range(1000)))
        result = self.lab.run("backup", "exec", "orders", "--", "false")
        self.assertEqual(result.returncode, 1)
        self.assertIn("ended with exit code 1; the session was aborted", result.stderr)
        for server in ("s2", "s3"):
            exposed = os.path.join(self.lab.directory, server, "data", ".exposed")
            self.assertEqual(os.listdir(exposed) if os.path.isdir(exposed) else [], [])

    def test_a_requester_that_dies_leaves_nothing(self):
        self.lab.ok("config", "set", "BackupRequesterTimeoutInMsec", "1500")
        process, _ = self.exec_in_background("true", "--from", "s2")
        self.wait_running()
        process.kill()
        base.wait_until(lambda: self.writer("s2")["session"] is None, "the session ends")
        failure = self.writer("s2")["last_session"]["failure"]
        self.assertEqual(failure["setting"], "BackupRequesterTimeoutInMsec")
        self.assertEqual(len(self.lab.events("orders", 2045, "s2")), 1)
        self.betest("--from", "s2")

    def test_the_newest_events_of_a_kind_can_be_asked_for(self):
        for _ in range(2):
            self.lab.ok("backup", "run", "orders", "--from", "s2", "--to", self.repository, server="s2")
        base.wait_until(lambda: len(self.lab.events("orders", 2041)) >= 2, "both are told of")
        newest = self.lab.ask("events", "--id", "2041", "--db", "orders", "--limit", "1")["events"]
        self.assertEqual([event["number"] for event in newest], [2041])
        self.assertEqual(newest, self.lab.events("orders", 2041)[-1:])

    def test_a_backup_can_be_explained(self):
        began = self.lab.run("backup", "explain", "orders", server="s1")
        self.assertEqual(began.returncode, 1)
        self.assertIn("no server remembers a backup of orders", began.stderr)
        self.lab.ok("backup", "run", "orders", "--from", "s2", "--to", self.repository, server="s2")
        ours = self.lab.ask("backup", "list", "orders", "--repo", self.repository, server="s2")["backups"][0]["id"]
        base.wait_until(lambda: self.lab.events("orders", 2041), "its end is told of")
        explained = self.lab.ask("backup", "explain", "orders", server="s1")
        self.assertEqual((explained["id"], explained["server"]), (ours, "s2"))
        texts = [entry["text"] for entry in explained["timeline"]]
        for phase in ("PrepareForBackup", "Freeze", "Thaw", "BackupComplete"):
            self.assertTrue(any(text.startswith(phase) for text in texts), texts)
        numbers = [entry["number"] for entry in explained["timeline"] if entry["number"]]
        self.assertTrue({2040, 2041} <= set(numbers), numbers)
        self.assertIsNone(explained["session"]["failure"])
        # Known by its events alone once another has run.
        self.lab.ok("backup", "run", "orders", "--from", "s2", "--to", self.repository, server="s2")
        older = self.lab.ask("backup", "explain", "orders", ours, server="s1")
        self.assertIsNone(older["session"])
        self.assertIn(2041, [entry["number"] for entry in older["timeline"]])

    # --- the article ---

    def test_a_log_range_that_does_not_come_costs_its_time_only(self):
        self.lab.ok("config", "set", "QueryLogRangeTimeoutInMsec", "1000")
        self.lab.ok("lab", "half-open", "s1", "s2")
        began = time.monotonic()
        self.lab.ok("backup", "run", "orders", "--from", "s2", "--to", self.repository, server="s2")
        took = time.monotonic() - began
        self.assertGreater(took, 1)
        self.assertLess(took, 10)
        alone = self.lab.events("orders", 2043, "s2")
        self.assertIn("QueryLogRangeTimeoutInMsec", alone[0]["message"])
        self.assertIn("s1 did not answer within 1000 ms", alone[0]["message"])
        # Changed while everything runs, effective at once.
        self.lab.ok("config", "set", "QueryLogRangeTimeoutInMsec", "3000")
        began = time.monotonic()
        self.lab.ok("backup", "run", "orders", "--from", "s2", "--to", self.repository, server="s2")
        self.assertGreater(time.monotonic() - began, 3)
        self.lab.ok("lab", "heal", "s1", "s2")

    def test_a_cut_connection_and_a_dead_active_do_not_end_it(self):
        self.lab.ok("config", "set", "BackupLeaseInMsec", "2000")
        process, go = self.exec_in_background("true", "--from", "s2")
        self.wait_running()
        self.lab.ok("lab", "cut", "s1", "s2")
        base.wait_until(lambda: self.lab.events("orders", 2043, "s2"), "it says that it goes on alone")
        self.lab.ok("lab", "heal", "s1", "s2")
        base.wait_until(lambda: self.lab.events("orders", 2044, "s2"), "it says that it is known again")
        self.lab.ok("lab", "kill", "s1")
        self.wait_mounted_elsewhere("s1", "s3")
        open(go, "w", encoding="ascii").close()
        self.assertEqual(process.wait(60), 0, process.stderr.read())
        self.lab.ok("lab", "start", "s1")
        self.assert_equal_copies("s3")

    def test_one_backup_at_a_time_with_the_holders_name(self):
        process, go = self.exec_in_background("true", "--from", "s2")
        self.wait_running()
        # Of the active copy, at the same time: the same rule.
        result = self.lab.run("backup", "run", "orders", "--from", "active", "--no-wait", "--to",
                              self.repository)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "another backup of orders runs: backup .* of the passive copy on s2, for backup exec")
        answer = self.betest("--from", "s3", "--no-wait", code=1)
        self.assertTrue(answer["status"].endswith(RETRYABLE), answer["status"])
        waiting = threading.Thread(target=lambda: self.lab.ok("backup", "run", "orders", "--from", "s3", "--wait", "60s",
                                                              "--to", self.repository))
        waiting.start()
        base.wait_until(lambda: self.lab.ask("holds", "orders")["waiting"], "the second one waits")
        holds = self.lab.ask("holds", "orders")
        self.assertIn("on s2, for backup exec", holds["backup"])
        self.assertIn("on s3, for backup run", holds["waiting"][0])
        # The database is not moved meanwhile, unless somebody insists; then the backup goes on.
        result = self.lab.run("switchover", "orders", "--to", "s3")
        self.assertEqual(result.returncode, 1)
        self.assertIn("orders is not moved while its backup runs", result.stderr)
        self.lab.ok("switchover", "orders", "--to", "s3", "--force")
        open(go, "w", encoding="ascii").close()
        self.assertEqual(process.wait(60), 0, process.stderr.read())
        waiting.join(90)
        backups = self.lab.ask("backup", "list", "orders", "--repo", self.repository)["backups"]
        self.assertEqual([b["server"] for b in backups], ["s3"])
        self.assertIsNone(self.lab.ask("holds", "orders")["backup"])
        self.assert_equal_copies()

    def test_a_restarted_daemon_begins_its_backup_again(self):
        process, go = self.exec_in_background("true", "--from", "s3", server="s3")
        self.wait_running("s3")
        run = subprocess.Popen([base.UNDERSTUDY, "backup", "run", "orders", "--from", "s2", "--wait", "60s", "--to",
                                self.repository], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=self.lab.environment | {"UNDERSTUDY_SERVER": "s2"})
        self.addCleanup(run.kill)
        base.wait_until(lambda: self.lab.ask("holds", "orders", server="s3")["waiting"], "it waits for its turn")
        self.lab.ok("lab", "kill", "s2")
        run.wait(60)
        self.lab.ok("lab", "start", "s2")
        open(go, "w", encoding="ascii").close()
        self.assertEqual(process.wait(60), 0, process.stderr.read())

        def listed():
            result = self.lab.run("backup", "list", "orders", "--repo", self.repository, "-o", "json", server="s2")
            return result.returncode == 0 and json.loads(result.stdout)["backups"]
        base.wait_until(listed, "the backup that was cut off is there")
        journal = os.path.join(self.lab.directory, "s2", "data", ".backups")
        base.wait_until(lambda: os.listdir(journal) == [], "its journal is gone")

    def test_the_backup_of_a_dead_server_is_taken_from_another_copy(self):
        process, go = self.exec_in_background("true", "--from", "s3", server="s3")
        self.wait_running("s3")
        run = subprocess.Popen([base.UNDERSTUDY, "backup", "run", "orders", "--wait", "60s", "--to", self.repository,
                                "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=self.lab.environment | {"UNDERSTUDY_SERVER": "s1"})
        self.addCleanup(run.kill)
        base.wait_until(lambda: self.lab.ask("holds", "orders")["waiting"], "it waits for its turn")
        self.assertIn("on s2, for backup run", self.lab.ask("holds", "orders")["waiting"][0])
        self.lab.ok("lab", "kill", "s2")
        base.wait_until(lambda: any("on s3, for backup run" in w for w in self.lab.ask("holds", "orders")["waiting"]),
                        "it is taken anew from s3")
        open(go, "w", encoding="ascii").close()
        out, _ = run.communicate(timeout=60)
        self.assertEqual((run.returncode, process.wait(60)), (0, 0))
        self.assertEqual(json.loads(out)["backup"]["server"], "s3")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
