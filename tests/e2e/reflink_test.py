#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backups read a clone of the copy's file where the file system has reflinks: XFS and btrfs, in loop mounts; root only.

    reflink_test.py UNDERSTUDY [TEST…]
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import backup_types_test as types
import failover_test as base

MIB = 1 << 20
IMAGE_BYTES = 2048 * MIB  # sparse
MAKERS = {"xfs": ("mkfs.xfs", "-q"), "btrfs": ("mkfs.btrfs", "-q")}


class Mount:
    """A new file system of one kind, in a file."""

    def __init__(self, kind, directory):
        self.path = os.path.join(directory, kind)
        image = self.path + ".img"
        with open(image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run([*MAKERS[kind], image], check=True, capture_output=True, timeout=60)
        os.mkdir(self.path)
        subprocess.run(["mount", "-o", "loop", image, self.path], check=True, capture_output=True, timeout=60)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=True, timeout=60)


class Reflink:
    kind = ""
    rows, row_bytes = 4000, 1000

    def setUp(self):
        # Whatever this test makes is on that file system.
        outside = tempfile.TemporaryDirectory(prefix="understudy-reflink-")
        self.addCleanup(outside.cleanup)
        self.outside = outside.name
        mount = Mount(self.kind, self.outside)
        self.addCleanup(mount.__exit__)
        self.addCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = mount.path
        super().setUp()

    def exposed(self, server="s2"):
        data = os.path.join(self.lab.directory, server, "data")
        directory = os.path.join(data, ".exposed")
        sessions = os.listdir(directory) if os.path.isdir(directory) else []
        return sessions + [name for name in os.listdir(data) if name.startswith(".clone-")]

    def wal_bytes(self):
        return os.path.getsize(self.lab.copies("orders")["s2"]["path"] + "-wal")

    def test_a_backup_of_hours_does_not_make_the_wal_grow(self):
        script = ("import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
                  "print(c.execute('PRAGMA integrity_check').fetchone()[0], c.execute('SELECT count(*) FROM t').fetchone()[0], flush=True); "
                  "sys.stdin.read()")
        holder = subprocess.Popen([base.UNDERSTUDY, "backup", "exec", "orders", "--from", "passive:s2", "--", sys.executable, "-c", script, "{}"],
                                  env=self.lab.environment | {"UNDERSTUDY_SERVER": "s1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline().strip(), f"ok {self.rows}")
        self.assertEqual(len(self.exposed()), 1)
        # 200 MiB of pages go by while the requester has its file: a read transaction would keep them all in the WAL.
        for _ in range(40):
            types.execute(self.path, f"UPDATE t SET b = randomblob({self.row_bytes})")
        self.lab.ok("wait", "orders", "--replayed")
        self.assertLess(self.wal_bytes(), 100 * MIB)
        holder.communicate("", timeout=base.DEADLINE_SECONDS)
        self.assertEqual(holder.returncode, 0)
        self.assertEqual(self.exposed(), [])

    def test_a_stored_backup_is_what_the_copy_was(self):
        taken = json.loads(self.lab.ok("backup", "run", "orders", "--to", self.repository, "--from", "passive:s2", "-o", "json"))["backup"]
        self.assertEqual(taken["provider"], "reflink")
        types.execute(self.path, "UPDATE t SET b = 'new' WHERE a % 7 = 0")
        self.lab.ok("wait", "orders", "--replayed")
        taken = json.loads(self.lab.ok("backup", "run", "orders", "--to", self.repository, "--type", "incremental",
                                       "--from", "passive:s2", "-o", "json"))["backup"]
        self.assertEqual(taken["provider"], "reflink")
        output = os.path.join(self.lab.temp.name, "restored.db")
        self.lab.ok("restore", "--repo", self.repository, "--db", "orders", "--output", output)
        restored = sqlite3.connect(output)
        self.assertEqual(restored.execute("SELECT count(*) FROM t WHERE b = 'new'").fetchone()[0], self.rows // 7)
        restored.close()
        self.assertEqual(self.exposed(), [])
        self.lab.ok("backup", "verify", "orders", "--repo", self.repository)

    def test_a_killed_daemon_leaves_no_clone(self):
        holder = subprocess.Popen([base.UNDERSTUDY, "backup", "exec", "orders", "--from", "passive:s2", "--", "sh", "-c", "echo at; cat"],
                                  env=self.lab.environment | {"UNDERSTUDY_SERVER": "s1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline().strip(), "at")
        self.assertEqual(len(self.exposed()), 1)
        self.lab.ok("lab", "kill", "s2")
        holder.kill()
        holder.communicate()
        self.lab.ok("lab", "start", "s2")
        self.lab.wait_healthy("orders")
        self.assertEqual(self.exposed(), [])


class Xfs(Reflink, types.BackupCase):
    kind = "xfs"


class Btrfs(Reflink, types.BackupCase):
    kind = "btrfs"


if __name__ == "__main__":
    try:
        for file_system in MAKERS:
            with tempfile.TemporaryDirectory() as place, Mount(file_system, place):
                pass
    except (OSError, subprocess.SubprocessError) as error:
        print(f"skipped: a file system cannot be made and mounted here: {error}")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
