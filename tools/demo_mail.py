#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The application of the demo: a mail store on stock SQLite, with the settings that Python's sqlite3 has by itself.

    demo_mail.py load FILE MEBIBYTES          makes the schema and a store of about that size
    demo_mail.py write FILE NUMBER RATE       delivers, moves and deletes mail, RATE transactions a second, until
                                              standard input ends; then prints a line of JSON
    demo_mail.py watch FILE                   reads a passive copy as fast as new mail appears there, until standard
                                              input ends; then prints how late it appeared, as a line of JSON

It knows nothing of Understudy.
"""

import json
import random
import select
import sqlite3
import sys
import time

SCHEMA = """
CREATE TABLE folder(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, messages INTEGER NOT NULL DEFAULT 0);
CREATE TABLE message(id INTEGER PRIMARY KEY, folder_id INTEGER NOT NULL REFERENCES folder, sender TEXT NOT NULL,
                     subject TEXT NOT NULL, body TEXT NOT NULL, delivered_ns INTEGER NOT NULL);
CREATE INDEX message_by_folder ON message(folder_id, delivered_ns);
CREATE TABLE attachment(id INTEGER PRIMARY KEY, message_id INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
                        name TEXT NOT NULL, content BLOB NOT NULL);
CREATE INDEX attachment_by_message ON attachment(message_id);
CREATE VIRTUAL TABLE message_text USING fts5(subject, body, content='message', content_rowid='id');
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
  INSERT INTO message_text(rowid, subject, body) VALUES (new.id, new.subject, new.body);
  UPDATE folder SET messages = messages + 1 WHERE id = new.folder_id;
END;
CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
  INSERT INTO message_text(message_text, rowid, subject, body) VALUES ('delete', old.id, old.subject, old.body);
  UPDATE folder SET messages = messages - 1 WHERE id = old.folder_id;
END;
CREATE TRIGGER message_moved AFTER UPDATE OF folder_id ON message BEGIN
  UPDATE folder SET messages = messages - 1 WHERE id = old.folder_id;
  UPDATE folder SET messages = messages + 1 WHERE id = new.folder_id;
END;
"""
FOLDERS = ["inbox", "sent", "archive", "drafts", "lists", "spam"]
WORDS = ("quarter report meeting budget server invoice harbour orchard velvet lantern copper winter journey letter "
         "garden signal market engine bridge silver window station river captain ticket forest paper evening").split()
LOADED_MESSAGES = 3000
ATTACHMENT_BYTES = 96 * 1024


def text(rng, words):
    return " ".join(rng.choices(WORDS, k=words))


def content(rng, size):
    """Half of it compressible, as documents are."""
    half = size // 2
    return rng.randbytes(size - half) + (text(rng, 40).encode() * (half // 100 + 1))[:half]


def deliver(connection, rng):
    sender = f"{rng.choice(WORDS)}@example.org"
    cursor = connection.execute(
        "INSERT INTO message(folder_id, sender, subject, body, delivered_ns) VALUES (?, ?, ?, ?, ?)",
        (rng.randint(1, len(FOLDERS)), sender, text(rng, 5), text(rng, rng.randint(20, 250)), time.time_ns()))
    return cursor.lastrowid


def attach(connection, rng, message, size):
    connection.execute("INSERT INTO attachment(message_id, name, content) VALUES (?, ?, ?)",
                       (message, f"{rng.choice(WORDS)}.pdf", content(rng, size)))


def open_store(path):
    return sqlite3.connect(path, timeout=20, isolation_level=None)


def load(path, mebibytes):
    rng = random.Random(1)
    connection = open_store(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(SCHEMA)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO folder(name) VALUES (?)", [(name,) for name in FOLDERS])
    messages = [deliver(connection, rng) for _ in range(LOADED_MESSAGES)]
    for _ in range(mebibytes * (1 << 20) // ATTACHMENT_BYTES):
        attach(connection, rng, rng.choice(messages), ATTACHMENT_BYTES)
    connection.execute("COMMIT")
    connection.close()


def transaction(connection, rng):
    """What one transaction of a mail server does: mostly a delivery, sometimes more."""
    connection.execute("BEGIN IMMEDIATE")
    change = rng.random()
    if change < 0.75:
        message = deliver(connection, rng)
        if rng.random() < 0.05:
            attach(connection, rng, message, rng.randint(4, 40) * 1024)
    elif change < 0.92:
        connection.execute("UPDATE message SET folder_id = ? WHERE id = "
                           "(SELECT id FROM message WHERE folder_id = ? ORDER BY delivered_ns LIMIT 1)",
                           (rng.randint(1, len(FOLDERS)), rng.randint(1, len(FOLDERS))))
    else:
        connection.execute("DELETE FROM message WHERE id = "
                           "(SELECT id FROM message WHERE folder_id = ? ORDER BY delivered_ns LIMIT 1)",
                           (rng.randint(1, len(FOLDERS)),))
    connection.execute("COMMIT")


def input_ended(wait_seconds):
    """Waits so long for the end of standard input, which is how we are told to stop."""
    ready, _, _ = select.select([sys.stdin], [], [], max(0, wait_seconds))
    return bool(ready) and sys.stdin.read(1) == ""


def write(path, number, rate):
    rng = random.Random(number)
    connection = open_store(path)
    done, slowest = 0, 0.0
    started = time.monotonic()
    while not input_ended(started + done / rate - time.monotonic()):
        before = time.monotonic()
        transaction(connection, rng)
        slowest = max(slowest, time.monotonic() - before)
        done += 1
    seconds = time.monotonic() - started
    connection.close()
    print(json.dumps({"transactions": done, "seconds": seconds, "slowest_ms": slowest * 1000}))


def watch(path):
    connection = open_store(path)
    last = connection.execute("SELECT max(id) FROM message").fetchone()[0]
    late_ms, searches = [], 0
    while not input_ended(0.001):
        # A read transaction each time, as a reader of its own would have.
        rows = connection.execute("SELECT id, delivered_ns FROM message WHERE id > ? ORDER BY id", (last,)).fetchall()
        now = time.time_ns()
        for number, delivered_ns in rows:
            last = number
            late_ms.append((now - delivered_ns) / 1e6)
        if len(late_ms) // 50 > searches:
            searches += 1
            connection.execute("SELECT count(*) FROM message_text WHERE message_text MATCH ?",
                               (random.choice(WORDS),)).fetchone()
    connection.close()
    print(json.dumps({"seen": len(late_ms), "searches": searches, "late_ms": sorted(late_ms)}))


def main():
    command, path, *rest = sys.argv[1:]
    if command == "load":
        load(path, int(rest[0]))
    elif command == "write":
        write(path, int(rest[0]), float(rest[1]))
    elif command == "watch":
        watch(path)
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
