#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A lab of real daemons: what its commands do to processes and links, and what bad input gets from a server.

    lab_test.py UNDERSTUDY

Every wait is for a condition, with a deadline.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

UNDERSTUDY = os.path.abspath(sys.argv[1])
DONE, FAILED, USAGE, NOT_REACHABLE = 0, 1, 2, 3
DEADLINE_SECONDS = 30


def wait_until(holds, what):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"within {DEADLINE_SECONDS} s: {what}")
        signal.sigtimedwait([], 0.05)


class Lab:
    def __init__(self, servers):
        self.temp = tempfile.TemporaryDirectory(prefix="understudy-lab-test-")
        self.directory = os.path.join(self.temp.name, "lab")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("UNDERSTUDY_")}
        self.environment["UNDERSTUDY_LAB"] = self.directory
        self.environment["UNDERSTUDY_SERVER"] = "s1"
        self.ok("lab", "up", "--servers", str(servers))

    def run(self, *arguments):
        return subprocess.run([UNDERSTUDY, *arguments], capture_output=True, text=True, check=False,
                              timeout=60, env=self.environment, stdin=subprocess.DEVNULL)

    def ok(self, *arguments):
        result = self.run(*arguments)
        if result.returncode != DONE:
            raise AssertionError(f"{arguments}: {result.returncode}: {result.stderr}")
        return result.stdout

    def ask(self, *arguments):
        return json.loads(self.ok(*arguments, "-o", "json"))

    def processes(self):
        return {row["server"]: row for row in self.ask("lab", "status")["servers"]}

    def links(self):
        return {(row["from"], row["to"]): row for row in self.ask("lab", "status")["links"]}

    def database(self, name, wal=True):
        path = os.path.join(self.temp.name, name)
        connection = sqlite3.connect(path)
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(x)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        connection.close()
        return path

    def close(self):
        self.run("lab", "down")
        self.temp.cleanup()


class LabCase(unittest.TestCase):
    SERVERS = 2

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(cls.SERVERS)

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

    def assert_fails(self, *arguments, says):
        """Exit code 1, one sentence that names the thing, and nothing on standard output."""
        result = self.lab.run(*arguments)
        self.assertEqual(result.returncode, FAILED, result)
        self.assertEqual(result.stdout, "")
        self.assertIn(says, result.stderr.splitlines()[0])
        return result.stderr


class Processes(LabCase):
    def state(self, server):
        return self.lab.processes()[server]["state"]

    def test_all_servers_know_each_other(self):
        for asked in ("s1", "s2"):
            servers = self.lab.ask("server", "list", "--server", asked)["servers"]
            self.assertEqual({row["name"] for row in servers}, {"s1", "s2"})

    def test_stop_and_start(self):
        self.lab.ok("lab", "stop", "s2")
        self.assertEqual(self.state("s2"), "dead")
        self.assertEqual(self.lab.run("--server", "s2", "server", "list").returncode, NOT_REACHABLE)
        self.assert_fails("lab", "stop", "s2", says="s2 is not running")
        self.lab.ok("lab", "start", "s2")
        self.assert_fails("lab", "start", "s2", says="s2 is running already")
        self.lab.ok("--server", "s2", "server", "list")

    def test_kill_and_start(self):
        pid = self.lab.processes()["s2"]["pid"]
        self.lab.ok("lab", "kill", "s2")
        self.assertEqual(self.state("s2"), "dead")
        self.lab.ok("lab", "start", "s2")
        self.assertNotEqual(self.lab.processes()["s2"]["pid"], pid)

    def test_start_waits_for_a_coordinator_that_is_held_up(self):
        """As by a daemon that is frozen in the middle of a transaction."""
        self.lab.ok("lab", "stop", "s2")
        holder = sqlite3.connect(os.path.join(self.lab.directory, "group", "cluster.db"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        start = subprocess.Popen([UNDERSTUDY, "lab", "start", "s2"], env=self.lab.environment,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            output = os.path.join(self.lab.directory, "s2", "output.txt")

            def said():
                with open(output, encoding="utf-8") as file:
                    return "the coordinator does not answer, trying on" in file.read()
            wait_until(said, "s2 finds the coordinator held up")
            self.assertIsNone(start.poll())
            holder.execute("ROLLBACK")
            self.assertEqual(start.wait(DEADLINE_SECONDS), DONE)
        finally:
            holder.close()
            start.kill()
            start.wait()

    def test_pause_and_resume(self):
        self.lab.ok("lab", "pause", "s2")
        wait_until(lambda: self.state("s2") == "paused", "s2 is paused")
        self.assertEqual(self.lab.run("--server", "s2", "--timeout", "300ms", "server", "list").returncode,
                         NOT_REACHABLE)
        self.lab.ok("lab", "resume", "s2")
        self.lab.ok("--server", "s2", "server", "list")

    def test_unknown_server(self):
        self.assert_fails("lab", "stop", "s9", says="'s9'; it has s1, s2")

    def test_second_lab_in_the_same_directory(self):
        self.assert_fails("lab", "up", says="a lab is running in")

    def test_second_daemon_on_the_same_data_directory(self):
        config = os.path.join(self.lab.directory, "s1", "understudyd.toml")
        daemon = os.path.join(os.path.dirname(UNDERSTUDY), "understudyd")
        result = subprocess.run([daemon, "--config", config], capture_output=True, text=True, timeout=30, check=False)
        self.assertIn(result.returncode, (FAILED, USAGE))
        self.lab.ok("server", "list")


class Links(LabCase):
    def test_cut_and_heal(self):
        self.lab.ok("lab", "cut", "s1", "s2")
        self.assertEqual({row["state"] for row in self.lab.links().values()}, {"cut"})
        self.lab.ok("lab", "heal", "s2", "s1")
        self.assertEqual({row["state"] for row in self.lab.links().values()}, {"open"})

    def test_slow(self):
        self.lab.ok("lab", "slow", "s1", "s2", "--delay", "20", "--rate", "1MiB")
        link = self.lab.links()[("s2", "s1")]
        self.assertEqual((link["delay_ms"], link["rate"]), (20, 1 << 20))
        self.lab.ok("lab", "heal", "s1", "s2")

    def test_half_open(self):
        self.lab.ok("lab", "half-open", "s1", "s2")
        self.assertEqual(self.lab.links()[("s1", "s2")]["state"], "half-open")
        self.lab.ok("lab", "heal", "s1", "s2")

    def test_link_with_itself_and_with_nobody(self):
        self.assert_fails("lab", "cut", "s1", "s1", says="both are s1")
        self.assert_fails("lab", "cut", "s1", "s9", says="'s9'")


class BadInput(LabCase):
    def assert_nothing_added(self):
        self.assertEqual(self.lab.ask("db", "list")["databases"], [])

    def test_file_that_is_not_there(self):
        self.assert_fails("db", "add", "a", "/nowhere/a.db", says="/nowhere/a.db")
        self.assertFalse(os.path.exists("/nowhere"))
        self.assert_nothing_added()

    def test_file_that_is_not_sqlite(self):
        path = os.path.join(self.lab.temp.name, "novel.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write("It was a dark and stormy night. " * 1000)
        self.assert_fails("db", "add", "novel", path, says=path)
        self.assert_nothing_added()

    def test_rollback_journal_needs_set_wal(self):
        path = self.lab.database("rollback.db", wal=False)
        said = self.assert_fails("db", "add", "rollback", path, says=path)
        self.assertIn("--set-wal", said)
        self.assert_nothing_added()
        connection = sqlite3.connect(path)
        self.assertEqual(connection.execute("PRAGMA journal_mode").fetchone()[0], "delete")
        connection.close()

    def test_exclusive_locking_mode(self):
        path = self.lab.database("exclusive.db")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("INSERT INTO t VALUES (2)")
        connection.commit()
        self.assert_fails("db", "add", "exclusive", path, says=path)
        connection.close()
        self.assert_nothing_added()

    def test_unknown_server_for_a_copy(self):
        path = self.lab.database("copies.db")
        self.assert_fails("db", "add", "copies", path, "--copies", "s7", says="s7")
        self.assert_nothing_added()

    def test_copy_on_the_active_server_itself(self):
        path = self.lab.database("self.db")
        self.assert_fails("db", "add", "self", path, "--copies", "s1", says="s1")
        self.assert_nothing_added()

    def test_unknown_database(self):
        for command in (["status", "mial"], ["db", "remove", "mial"], ["copy", "add", "mial", "s2"],
                        ["copy", "suspend", "mial", "s2"], ["wait", "mial"],
                        ["backup", "run", "mial", "--to", os.path.join(self.lab.temp.name, "none")]):
            with self.subTest(command=command):
                self.assert_fails(*command, says="mial")
        self.assertFalse(os.path.exists(os.path.join(self.lab.temp.name, "none")))


class Database(LabCase):
    def test_life_of_a_database(self):
        path = self.lab.database("life.db")
        repository = os.path.join(self.lab.temp.name, "repository")
        added = self.lab.ask("db", "add", "life", path, "--copies", "s2", "--timeout", "30s")
        self.assertEqual((added["active"], added["passive"]), ("s1", ["s2"]))
        self.assert_fails("db", "add", "life", path, says="life")

        connection = sqlite3.connect(path)
        connection.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(100)])
        connection.commit()
        reached = self.lab.ask("wait", "life", "--replayed")["position"]
        status = self.lab.ask("status", "life")["databases"][0]
        self.assertEqual(set(status) >= {"name", "id", "term", "position", "active", "copies"}, True)
        copies = {copy["server"]: copy for copy in status["copies"]}
        self.assertEqual(copies["s1"]["state"], "Mounted")
        self.assertEqual(copies["s2"]["state"], "Healthy")
        self.assertGreaterEqual(copies["s2"]["replayed"], reached)
        passive = sqlite3.connect(copies["s2"]["path"])
        self.assertEqual(passive.execute("SELECT count(*) FROM t").fetchone()[0], 101)
        with self.assertRaisesRegex(sqlite3.OperationalError, "readonly"):
            passive.execute("DELETE FROM t")
        passive.close()

        suspended = self.lab.ask("copy", "suspend", "life", "s2", "--reason", "for a test")
        self.assertTrue(suspended["in_effect"])  # what is committed from now on does not reach s2
        connection.execute("DELETE FROM t WHERE x = 7")
        connection.commit()
        self.assert_fails("wait", "life", "--servers", "s2", "--seq", str(reached + 1), "--timeout", "300ms", says="s2")
        self.assert_fails("wait", "life", "--replayed", says="every passive copy of life is suspended")
        self.lab.ok("copy", "resume", "life", "s2")
        self.lab.ok("wait", "life", "--replayed")

        backup = self.lab.ask("backup", "run", "life", "--to", repository)["backup"]
        self.assertEqual((backup["server"], backup["role"]), ("s2", "passive"))
        listed = self.lab.ask("backup", "list", "life", "--repo", repository)["backups"]
        self.assertEqual([row["id"] for row in listed], [backup["id"]])
        self.lab.ok("backup", "verify", "life", "--repo", repository)
        self.assertEqual(self.lab.ask("backup", "show", "life", "--repo", repository)["backup"]["id"], backup["id"])

        output = os.path.join(self.lab.temp.name, "restored.db")
        restore = ["restore", "--repo", repository, "--db", "life", "--output", output]
        self.lab.ok(*restore)
        self.assert_fails(*restore, says=output)
        self.lab.ok(*restore, "--force")
        restored = sqlite3.connect(output)
        self.assertEqual(restored.execute("SELECT count(*) FROM t").fetchone()[0], 100)
        restored.execute("INSERT INTO t VALUES ('writable')")
        restored.close()

        self.assertIn("life", self.lab.ok("events"))
        self.lab.ok("copy", "remove", "life", "s2")
        self.assert_fails("wait", "life", "--durable", says="life has no passive copy")
        wait_until(lambda: not os.path.exists(copies["s2"]["path"]), "s2 removes its files")
        self.lab.ok("copy", "add", "life", "s2", "--timeout", "30s")
        self.lab.ok("wait", "life", "--durable")

        # Removed and added elsewhere at once: s2 may see only the result.
        moved = os.path.join(self.lab.temp.name, "moved.db")
        self.lab.ok("copy", "remove", "life", "s2")
        self.lab.ok("copy", "add", "life", "s2", "--path", moved, "--timeout", "30s")
        self.lab.ok("wait", "life", "--replayed")
        self.assertEqual({copy["path"] for copy in self.lab.ask("status", "life")["databases"][0]["copies"]},
                         {path, moved})
        self.assertTrue(os.path.exists(moved))
        wait_until(lambda: not os.path.exists(copies["s2"]["path"]), "s2 removes the files of the first copy")
        self.lab.ok("db", "remove", "life")
        self.assertEqual(self.lab.ask("db", "list")["databases"], [])
        connection.execute("INSERT INTO t VALUES ('alive')")
        connection.commit()
        connection.close()


class CutOff(LabCase):
    def test_a_server_that_cannot_be_asked_is_told_apart_and_backed_up_from(self):
        path = self.lab.database("far.db")
        repository = os.path.join(self.lab.temp.name, "repository")
        self.lab.ok("db", "add", "far", path, "--copies", "s2", "--timeout", "30s")
        self.lab.ok("lab", "cut", "s1", "s2")
        copies = {copy["server"]: copy for copy in self.lab.ask("status", "far")["databases"][0]["copies"]}
        self.assertEqual({name: copy["answered"] for name, copy in copies.items()}, {"s1": True, "s2": False})
        self.assertIn("s2: does not answer", self.lab.ok("status", "far"))
        # s1, which is asked, does not reach s2; we do.
        backup = self.lab.ask("backup", "run", "far", "--to", repository)["backup"]
        self.assertEqual((backup["server"], backup["role"]), ("s2", "passive"))
        self.lab.ok("backup", "verify", "far", "--repo", repository)
        self.lab.ok("lab", "heal", "s1", "s2")


class Down(unittest.TestCase):
    def test_down_ends_everything_and_a_later_up_goes_on(self):
        lab = Lab(2)
        try:
            path = lab.database("kept.db")
            lab.ok("db", "add", "kept", path, "--copies", "s2", "--timeout", "30s")
            with open(os.path.join(lab.directory, "lab.json"), encoding="utf-8") as file:
                state = json.load(file)
            pids = [state["forwarder"]["pid"]] + [server["process"]["pid"] for server in state["servers"]]
            lab.ok("lab", "pause", "s2")  # down must cope with a frozen one
            lab.ok("lab", "down")
            for pid in pids:
                self.assertFalse(self.alive(pid), pid)
            self.assertFalse(os.path.exists(os.path.join(lab.directory, "lab.json")))
            self.assertEqual(lab.run("lab", "down").returncode, FAILED)
            lab.ok("lab", "up", "--servers", "2")
            lab.ok("wait", "kept", "--replayed")
        finally:
            lab.close()

    @staticmethod
    def alive(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                return file.read().rpartition(")")[2].split()[0] not in "ZX"
        except FileNotFoundError:
            return False


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
