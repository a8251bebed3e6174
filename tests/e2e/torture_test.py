#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A group under writers that do everything SQLite allows, while processes are killed and links are cut.

    torture_test.py UNDERSTUDY [--seconds N] [--seed N] [--writer PROGRAM]... [--keep]

Three servers of a lab follow one database. Writers of stock SQLite commit, roll back, checkpoint in every
mode, VACUUM and reconnect. A seeded sequence of faults runs beside them: kill -9 of any daemon or writer,
SIGSTOP, cut and half-open links, backups. At the end everything is started and healed, and then must hold:

  1. all three copies are equal byte for byte (but for the read-only mark), and pass integrity_check;
  2. the active copy has every transaction that a writer was told is committed;
  3. nothing was seeded a second time: gaps were healed by pages, cuts by position;
  4. a backup of a passive copy restores to the same bytes; every earlier complete backup verifies.

--writer adds a program that is called like the Python writer: PROGRAM DATABASE NUMBER SEED JOURNAL.
--newer-sqlite DIRECTORY builds such a writer there (sqlite_writer.c) with the SQLite source that the npm package
better-sqlite3 ships, newer than Debian's; without npm or a compiler the test says so and goes on without it.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

WRITER = r"""
import os, random, sqlite3, sys
path, number, seed, journal = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
r = random.Random(seed)
def connect():
    c = sqlite3.connect(path, timeout=60, isolation_level=None)
    c.execute('pragma synchronous=%s' % r.choice(['normal', 'full']))
    return c
c = connect()
acknowledged = open(journal, 'ab', buffering=0)
n = c.execute('select coalesce(max(n), 0) from done where writer=?', (number,)).fetchone()[0]
while True:
    try:
        c.execute('begin immediate')
        for _ in range(r.choice([1, 1, 1, 5, 60])):
            key = r.randrange(6000)
            if r.random() < 0.15:
                c.execute('delete from t where a between ? and ?', (key, key + r.randrange(20)))
            else:
                c.execute('insert or replace into t values(?,?,?)',
                          (key, r.randrange(1000), os.urandom(r.choice([20, 200, 3000, 9000]))))
        n += 1
        c.execute('insert into done values(?,?)', (number, n))
        if r.random() < 0.05:
            c.execute('rollback')
            n -= 1
        else:
            c.execute('commit')
            acknowledged.write(b'%d\n' % n)
        x = r.random()
        if x < 0.03:
            c.execute('pragma wal_checkpoint(%s)' % r.choice(['passive', 'full', 'restart', 'truncate'])).fetchall()
        elif x < 0.035:
            c.execute('vacuum')
        elif x < 0.05:
            c.close()
            c = connect()
    except sqlite3.OperationalError as e:
        if 'locked' not in str(e) and 'busy' not in str(e):
            raise
        if c.in_transaction:
            c.execute('rollback')
            n = c.execute('select coalesce(max(n), 0) from done where writer=?', (number,)).fetchone()[0]
"""

# Runs in a process of its own: this one must not open databases that are being followed.
DIGEST = r"""
import hashlib, json, sqlite3, sys
path = sys.argv[1]
c = sqlite3.connect(path, timeout=30)
for _ in range(200):
    busy, frames, done = c.execute('pragma wal_checkpoint(passive)').fetchone()
    if busy == 0 and frames == done: break
check = c.execute('pragma integrity_check').fetchone()[0]
counts = dict(c.execute('select writer, max(n) from done group by writer').fetchall())
image = bytearray(open(path, 'rb').read())
image[18] = 2
print(json.dumps({'check': check, 'counts': counts, 'bytes': len(image),
                  'digest': hashlib.sha256(image).hexdigest()}))
"""

SERVERS = ["s1", "s2", "s3"]
SQLITE_PACKAGE = "better-sqlite3@13.2.0"


def build_newer_writer(directory):
    """The path of a writer with a newer SQLite, or None and the reason."""
    os.makedirs(directory, exist_ok=True)
    program = os.path.join(directory, "sqlite_writer")
    if os.path.exists(program):
        return program, ""
    here = os.path.dirname(os.path.abspath(__file__))
    source = os.path.join(directory, "package", "deps", "sqlite3")
    try:
        packed = subprocess.run(["npm", "pack", "--silent", SQLITE_PACKAGE], cwd=directory, check=True, timeout=120,
                                capture_output=True, text=True).stdout.split()[-1]
        subprocess.run(["tar", "xzf", packed, "package/deps/sqlite3"], cwd=directory, check=True, timeout=60)
        subprocess.run(["cc", "-O1", "-w", "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-I", source,
                        os.path.join(here, "sqlite_writer.c"), os.path.join(source, "sqlite3.c"), "-lm",
                        "-o", program + ".new"], check=True, timeout=400, capture_output=True, text=True)
    except (OSError, IndexError, subprocess.SubprocessError) as e:
        return None, str(getattr(e, "stderr", None) or e).strip()[-200:]
    os.rename(program + ".new", program)
    return program, ""


class Torture:
    def __init__(self, options):
        self.understudy = os.path.abspath(options.understudy)
        self.random = random.Random(options.seed)
        self.directory = tempfile.mkdtemp(prefix="understudy-torture-")
        self.lab = os.path.join(self.directory, "lab")
        self.database = os.path.join(self.directory, "t.db")
        self.repository = os.path.join(self.directory, "repository")
        self.programs = [os.path.abspath(p) for p in options.writer]
        self.environment = dict(os.environ)
        self.writers = {}  # number -> process
        self.stopped = set()  # servers that are killed or paused
        self.links = set()
        self.counts = {}
        self.started = time.monotonic()

    def run(self, *arguments, check=True, timeout=120):
        result = subprocess.run([self.understudy, *arguments], capture_output=True, text=True,
                                timeout=timeout, env=self.environment, stdin=subprocess.DEVNULL, check=False)
        if check and result.returncode != 0:
            raise AssertionError(f"understudy {' '.join(arguments)} ended with {result.returncode}:\n"
                                 f"{result.stdout}{result.stderr}")
        return result

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.2f}  {text}", flush=True)

    # --- set-up ---

    def setup(self):
        connection = sqlite3.connect(self.database)
        connection.execute("pragma journal_mode=wal")
        connection.executescript(
            "create table t(a integer primary key, b, c); create index tb on t(b);"
            "create table done(writer, n, primary key(writer, n)) without rowid;"
            "with recursive s(v) as (select 1 union all select v + 1 from s where v < 2000)"
            " insert into t select v, v, randomblob(500) from s")
        connection.close()  # before the daemon opens it: this process keeps no lock
        self.run("lab", "up", "--dir", self.lab, "--servers", "3")
        for line in self.run("lab", "env", "--dir", self.lab).stdout.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = value.strip("'\"")
        self.run("db", "add", "t", self.database, "--copies", "s2,s3")
        for number in range(4):
            self.start_writer(number)

    def start_writer(self, number):
        journal = os.path.join(self.directory, f"writer{number}.journal")
        arguments = [self.database, str(number), str(self.random.randrange(1 << 30)), journal]
        program = [sys.executable, "-c", WRITER]
        if self.programs and number % 2 == 1:
            program = [self.programs[number // 2 % len(self.programs)]]
        self.writers[number] = subprocess.Popen(program + arguments, stderr=subprocess.PIPE)

    # --- faults ---

    def count(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1

    def kill_writer(self):
        number = self.random.choice(list(self.writers))
        process = self.writers[number]
        if process.poll() is not None:
            raise AssertionError(f"writer {number} failed: {process.stderr.read().decode()}")
        process.kill()
        process.wait()
        process.stderr.close()
        self.start_writer(number)
        self.count("kill -9 of a writer")

    def kill_daemon(self):
        server = self.random.choice(SERVERS)
        if server in self.stopped:
            return
        self.run("lab", "kill", server, "--dir", self.lab)
        self.stopped.add(server)
        self.count("kill -9 of a daemon")
        if self.random.random() < 0.7:
            self.restore(server)

    def restore(self, server):
        # 'start' is for a killed one, 'resume' for a paused one.
        if self.run("lab", "resume", server, "--dir", self.lab, check=False).returncode != 0:
            self.run("lab", "start", server, "--dir", self.lab)
        self.stopped.discard(server)

    def pause_daemon(self):
        server = self.random.choice(SERVERS)
        if server in self.stopped:
            return
        self.run("lab", "pause", server, "--dir", self.lab)
        self.stopped.add(server)
        self.count("SIGSTOP of a daemon")

    def change_link(self):
        pair = self.random.choice([("s2", "s1"), ("s3", "s1")])
        if pair in self.links:
            self.run("lab", "heal", *pair, "--dir", self.lab)
            self.links.discard(pair)
            return
        how = self.random.choice(["cut", "half-open", "slow"])
        slowly = ["--delay", "20ms", "--rate", "500kB"] if how == "slow" else []
        self.run("lab", how, *pair, *slowly, "--dir", self.lab)
        self.links.add(pair)
        self.count(f"{how} link")

    def back_up(self):
        server = self.random.choice(["s2", "s3"])
        if server in self.stopped or "s1" in self.stopped:
            return
        done = self.run("backup", "run", "t", "--from", server, "--to", self.repository, check=False)
        self.count("backup complete" if done.returncode == 0 else "backup refused")

    def wake_something(self):
        if self.stopped:
            self.restore(self.random.choice(sorted(self.stopped)))

    def torture(self, seconds):
        end = time.monotonic() + seconds
        faults = ([self.kill_writer] * 4 + [self.kill_daemon] * 4 + [self.pause_daemon] +
                  [self.change_link] * 4 + [self.back_up] * 2 + [self.wake_something] * 4)
        while time.monotonic() < end:
            self.random.choice(faults)()
            # Time for the writers and the copies to get somewhere: a pace, nothing waits for it.
            self.writers[0].poll()
            pause = min(end, time.monotonic() + self.random.random() * 0.4)
            while time.monotonic() < pause:
                self.any_writer_failed()
                try:
                    self.writers[0].wait(max(0.001, pause - time.monotonic()))
                except subprocess.TimeoutExpired:
                    pass

    def any_writer_failed(self):
        for number, process in self.writers.items():
            if process.poll() is not None:
                raise AssertionError(f"writer {number} failed: {process.stderr.read().decode()}")

    # --- the end ---

    def settle(self):
        for number, process in self.writers.items():
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stderr.close()
        for pair in sorted(self.links):
            self.run("lab", "heal", *pair, "--dir", self.lab)
        for server in sorted(self.stopped):
            self.restore(server)
        deadline = time.monotonic() + 90
        while True:
            result = self.run("wait", "t", "--replayed", "--timeout", "30s", check=False)
            if result.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise AssertionError("the copies did not come up: " + result.stderr +
                                     self.run("status").stdout + self.run("events").stdout)

    def digest(self, path):
        result = subprocess.run([sys.executable, "-c", DIGEST, path], capture_output=True, text=True,
                                timeout=120, check=False)
        if result.returncode != 0:
            raise AssertionError(f"{path}: {result.stderr}")
        return json.loads(result.stdout)

    def check(self):
        status = json.loads(self.run("status", "t", "-o", "json").stdout)["databases"][0]
        paths = {copy["server"]: copy["path"] for copy in status["copies"]}
        digests = {server: self.digest(path) for server, path in paths.items()}
        active = digests["s1"]
        for server, digest in digests.items():
            assert digest["check"] == "ok", f"{server}: {digest['check']}"
            assert digest == active, f"{server} differs from s1: {digest} {active}"
        total = 0
        for number in self.writers:
            journal = os.path.join(self.directory, f"writer{number}.journal")
            with open(journal, "rb") as file:
                lines = file.read().split()
            told = max((int(line) for line in lines), default=0)
            total += told
            has = active["counts"].get(str(number), 0)
            assert has >= told, f"writer {number} was told {told}, the database has {has}"
        events = self.run("events").stdout
        assert "seeded anew" not in events, "a copy was seeded a second time:\n" + events
        self.check_backups(active)
        return active, total

    def check_backups(self, active):
        self.run("backup", "run", "t", "--from", "s3", "--to", self.repository)
        output = os.path.join(self.directory, "restored.db")
        self.run("restore", "--repo", self.repository, "--db", "t", "--output", output)
        assert self.digest(output) == active, "the restored database differs"
        listed = json.loads(self.run("backup", "list", "--repo", self.repository, "-o", "json").stdout)
        for backup in listed["backups"]:
            self.run("backup", "verify", "t", "--repo", self.repository, backup["id"])
        self.counts["backups verified"] = len(listed["backups"])

    def cleanup(self, keep):
        for process in self.writers.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self.run("lab", "down", "--dir", self.lab, check=False)
        if keep:
            print("kept:", self.directory)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("understudy")
    parser.add_argument("--seconds", type=float, default=25)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--writer", action="append", default=[])
    parser.add_argument("--newer-sqlite", metavar="DIRECTORY")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.newer_sqlite:
        program, why = build_newer_writer(os.path.abspath(options.newer_sqlite))
        options.writer += [program] if program else []
        print(f"writers 1 and 3 use the SQLite of {SQLITE_PACKAGE}" if program else f"without a newer SQLite: {why}")
    print(f"seed {options.seed}, {options.seconds:g} seconds", flush=True)
    torture = Torture(options)
    good = False
    try:
        torture.setup()
        torture.torture(options.seconds)
        torture.say("faults: " + ", ".join(f"{v} {k}" for k, v in sorted(torture.counts.items())))
        torture.settle()
        active, total = torture.check()
        torture.say(f"{total} transactions acknowledged; three copies and a restored backup are equal: "
                    f"{active['bytes']} bytes, {active['digest'][:16]}; "
                    f"{torture.counts['backups verified']} backups verified")
        good = True
    finally:
        torture.cleanup(options.keep or not good)
    return 0


if __name__ == "__main__":
    sys.exit(main())
