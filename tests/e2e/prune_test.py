#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""backup prune and backup keep on a repository with chains: what goes, what stays, and that what stays is whole.

usage: prune_test.py UNDERSTUDY BACKUP_TOOL
"""
import json
import os
import sqlite3
import subprocess
import sys
import tempfile

UNDERSTUDY, TOOL = sys.argv[1:3]


def run(*arguments, code=0):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout if code == 0 else done.stderr


def main():
    with tempfile.TemporaryDirectory(prefix="understudy-prune-") as directory:
        repository = os.path.join(directory, "repository")
        database = os.path.join(directory, "mail.db")
        ids = []
        for i, kind in enumerate(["full", "incremental", "full", "incremental", "full", "incremental"]):
            db = sqlite3.connect(database)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE IF NOT EXISTS mail(body TEXT)")
            db.execute("INSERT INTO mail VALUES (?)", (f"message {i}",))
            db.commit()
            db.close()
            ids.append(json.loads(run(TOOL, "backup", repository, "mail", database, str(i + 1), kind))["id"])
        prune = [UNDERSTUDY, "backup", "prune", "mail", "--repo", repository]
        said = run(*prune, code=1)
        assert "--keep-full or --keep-days" in said, said

        run(UNDERSTUDY, "backup", "keep", "mail", ids[1], "on", "--repo", repository)
        planned = json.loads(run(*prune, "--keep-full", "1", "--dry-run", "-o", "json"))
        fates = {row["id"]: row["kept"] for row in planned["backups"]}
        assert fates == {ids[0]: True, ids[1]: True, ids[2]: False, ids[3]: False, ids[4]: True, ids[5]: True}, planned
        why = {row["id"]: row["why"] for row in planned["backups"]}
        assert ids[1] in why[ids[0]] and "marked" in why[ids[1]], why

        done = json.loads(run(*prune, "--keep-full", "1", "-o", "json"))
        assert done["removed"] == 2 and not done["dry_run"], done
        left = sorted(os.listdir(os.path.join(repository, "mail", "ltx", "9")))
        assert len(left) == 2, left
        for id_ in (ids[0], ids[1], ids[4], ids[5]):
            run(TOOL, "verify", repository, "mail", id_)
            output = os.path.join(directory, id_ + ".db")
            run(UNDERSTUDY, "restore", "--repo", repository, "--db", "mail", "--backup", id_, "--output", output)
            with sqlite3.connect(output) as db:
                assert db.execute("SELECT count(*) FROM mail").fetchone() == (ids.index(id_) + 1,)

        run(UNDERSTUDY, "backup", "keep", "mail", ids[1], "off", "--repo", repository)
        print(run(*prune, "--keep-full", "1"))
        assert sorted(os.listdir(os.path.join(repository, "mail", "backups"))) == sorted(
            id_ + ".json" for id_ in (ids[4], ids[5]))


main()
