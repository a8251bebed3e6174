#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A repository of ours is restored by Litestream, which we did not write, and compared with our own restore.

Makes SQLite databases of several page sizes, backs each up (backup_tool), restores it with ours, and lets
Litestream's SQLite extension (npm package litestream-vfs-linux-amd64) hydrate the same repository: the same code as
`litestream restore`. All three files must be equal byte for byte. A second backup at a later position is made on
top, which Litestream has to find as the newest; then backups of all types, in chains.

usage: litestream_test.py BACKUP_TOOL CACHE_DIRECTORY
Exit code 77: skipped, because npm or the sqlite3 shell is not there or the package cannot be had.
"""
import filecmp
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading

from npm_package import installed, skip

PACKAGE = "litestream-vfs-linux-amd64"
VERSION = "0.5.17"
STEP_SECONDS_MAX = 120


def make_database(path, page_size, rows):
    """Adds rows; leaves a WAL-mode database without -wal file."""
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA page_size={page_size}")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS mail(id INTEGER PRIMARY KEY, noise BLOB, body TEXT)")
    db.execute("CREATE INDEX IF NOT EXISTS by_noise ON mail(noise)")
    with db:
        db.executemany("INSERT INTO mail(noise, body) VALUES (randomblob(300), ?)",
                       ((f"message {i} " * 20,) for i in range(rows)))
    with db:
        db.execute("DELETE FROM mail WHERE id % 7 = 3")
    db.close()


def is_hydrated(progress, output):
    """Of a database that shrank it claims more than 100 %: then the file has the size that its first page says."""
    try:
        if float(progress) < 100:
            return False
        with open(output, "rb") as file:
            header = file.read(100)
        page_size = int.from_bytes(header[16:18], "big")
        pages = int.from_bytes(header[28:32], "big")
        return os.path.getsize(output) == pages * (65536 if page_size == 1 else page_size)
    except (ValueError, OSError):
        return False


def hydrate(so, replica, output):
    """Makes `output` what `litestream restore` would make of the replica; returns what the shell said."""
    environment = {**os.environ, "LITESTREAM_REPLICA_URL": f"file://{replica}",
                   "LITESTREAM_HYDRATION_ENABLED": "true", "LITESTREAM_HYDRATION_PATH": output}
    environment.pop("AWS_CA_BUNDLE", None)  # its S3 client stops at this even when it is not used
    shell = subprocess.Popen(["sqlite3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, env=environment, bufsize=1)
    watchdog = threading.Timer(STEP_SECONDS_MAX, shell.kill)
    watchdog.start()
    said = []
    try:
        shell.stdin.write(f".load {so}\n.open file:replica.db?vfs=litestream\n")
        # Hydration runs beside the connection.
        while not (said and is_hydrated(said[-1], output)):
            shell.stdin.write("PRAGMA litestream_hydration_progress;\n")
            line = shell.stdout.readline()
            if not line:
                break
            said.append(line.strip())
        shell.stdin.close()
        shell.wait()
    finally:
        watchdog.cancel()
        shell.kill()
    if not (said and is_hydrated(said[-1], output)):
        raise AssertionError(f"Litestream did not hydrate {replica}: {said[-5:]}")


class Comparison:
    def __init__(self, tool, so, directory):
        self.tool, self.so, self.directory = tool, so, directory

    def run_tool(self, *arguments):
        done = subprocess.run([self.tool, *arguments], capture_output=True, text=True, timeout=STEP_SECONDS_MAX)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stderr.strip()}")
        return done.stdout

    def check(self, name, database, seq, kind="full"):
        """Backs up, restores twice, compares."""
        repository = os.path.join(self.directory, "repository")
        document = json.loads(self.run_tool("backup", repository, name, database, str(seq), kind))
        ours = os.path.join(self.directory, f"{name}-{seq}-ours.db")
        theirs = os.path.join(self.directory, f"{name}-{seq}-theirs.db")
        self.run_tool("restore", repository, name, ours)
        hydrate(self.so, os.path.join(repository, name), theirs)
        for restored in (ours, theirs):
            if not filecmp.cmp(database, restored, shallow=False):
                raise AssertionError(f"{restored} is not {database}")
        with sqlite3.connect(ours) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        print(f"equal: {name}, {kind} at seq {seq}, pages of {document['database']['page_size']}, "
              f"{document['bytes_pages']} bytes stored as {document['bytes_stored']}")


def check_types(comparison, name, database):
    """Chains of increments: Litestream reads them by their file names, without our documents."""
    seq = 0x1_0000_0002
    for kind in ("incremental", "incremental", "copy", "differential", "incremental", "differential", "full", "incremental"):
        seq += 10
        with sqlite3.connect(database) as db:
            db.execute("UPDATE mail SET body = ? WHERE id % 97 = ?", (f"{kind} {seq}", seq % 97))
            if kind == "differential":  # fewer pages, and others in their places
                db.execute("DELETE FROM mail WHERE id % 5 = ?", (seq % 5,))
                db.commit()
                db.execute("VACUUM")
        db.close()
        comparison.check(name, database, seq, kind)


def main():
    tool, cache = sys.argv[1], os.path.abspath(sys.argv[2])
    if not shutil.which("sqlite3"):
        skip("the sqlite3 shell is not installed")
    so = installed(cache, PACKAGE, VERSION, "litestream-vfs.so")
    with tempfile.TemporaryDirectory(prefix="understudy-litestream-") as directory:
        comparison = Comparison(os.path.abspath(tool), so, directory)
        for page_size in (512, 4096, 65536):
            database = os.path.join(directory, f"source{page_size}.db")
            make_database(database, page_size, 3000)
            comparison.check(f"mail{page_size}", database, 17)
            make_database(database, page_size, 500)
            comparison.check(f"mail{page_size}", database, 0x1_0000_0002)
            check_types(comparison, f"mail{page_size}", database)


if __name__ == "__main__":
    main()
