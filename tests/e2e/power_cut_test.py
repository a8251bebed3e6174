#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A power cut takes the active database back behind its own log; the restarted daemon brings it forward.

    power_cut_test.py UNDERSTUDY UNDERSTUDYD

The cut is played: the daemon and the writer are killed, the database and its WAL are overwritten with what they were
earlier (a disk that had not synced them since), the -shm is removed as a restart would, and the daemon sees another boot
id. That needs a mount namespace; without the right to one the test is skipped (exit code 77).
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

from cluster_test import Failed, Group, check, compare, events, wait_for

SKIPPED = 77
BOOT_ID = '/proc/sys/kernel/random/boot_id'
ROLLED_FORWARD = 2052
ROWS_EARLY, ROWS_LATE = 50, 400

# Commits and waits to be killed: its last connection must not checkpoint and remove the WAL.
WRITER = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
c.execute('pragma synchronous=normal'); c.execute('pragma wal_autocheckpoint=0')
for line in sys.stdin:
    for i in range(int(line)): c.execute('insert into t(b) values(?)', (os.urandom(500),))
    print('done', flush=True)
"""


def write_boot_id(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text + '\n')


def saved(path):
    with open(path, 'rb') as file:
        return file.read()


def put_back(path, content):
    """Into the same file: a file moved into its place would count as restored on purpose."""
    with open(path, 'r+b') as file:
        file.write(content)
        file.truncate()


class Writer:
    def __init__(self, path):
        self.process = subprocess.Popen([sys.executable, '-c', WRITER, path], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def insert(self, rows):
        self.process.stdin.write(f'{rows}\n')
        self.process.stdin.flush()
        check(self.process.stdout.readline() == 'done\n', 'the writer failed')

    def kill(self):
        self.process.kill()
        self.process.wait()


def main():
    directory = tempfile.mkdtemp(prefix='understudy-power-cut-')
    boot_id = os.path.join(directory, 'boot_id')
    write_boot_id(boot_id, '11111111-1111-4111-8111-111111111111')
    wrapper = ['unshare', '--mount', 'sh', '-c', f'mount --bind "$0" {BOOT_ID} && exec "$@"', boot_id]
    if subprocess.run([*wrapper, 'true'], capture_output=True, check=False).returncode != 0:
        print('skipped: no right to a mount namespace')
        shutil.rmtree(directory)
        return SKIPPED
    source = os.path.join(directory, 'orders.db')
    connection = sqlite3.connect(source)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(a integer primary key, b blob)')
    connection.close()
    group = Group(directory, sys.argv[1], sys.argv[2], wrapper)
    writer = None
    try:
        group.start('s1')
        group.start('s2')
        writer = Writer(source)
        group.run('db', 'add', 'orders', source, '--copies', 's2')
        paths = {'s1': source, 's2': group.copy('s2')['path']}
        writer.insert(ROWS_EARLY)
        group.run('wait', 'orders', '--durable')
        early = saved(source), saved(source + '-wal')
        writer.insert(ROWS_LATE)
        group.run('wait', 'orders', '--durable')

        for server in ('s1', 's2'):  # one machine, one power cut
            group.kill(server, signal.SIGKILL)
        writer.kill()
        put_back(source, early[0])
        put_back(source + '-wal', early[1])
        os.remove(source + '-shm')
        write_boot_id(boot_id, '22222222-2222-4222-8222-222222222222')
        group.start('s1')
        group.start('s2')
        wait_for('the database is mounted', lambda: group.copy('s1')['state'] == 'Mounted')
        rolled = [event for event in events(group) if event['number'] == ROLLED_FORWARD]
        check(len(rolled) == 1, f'not rolled forward: {events(group)}')
        compare(group, paths, ('s1', 's2'))
        connection = sqlite3.connect(source)
        rows = connection.execute('select count(*) from t').fetchone()[0]
        check(rows == ROWS_EARLY + ROWS_LATE, f'{rows} rows are left of {ROWS_EARLY + ROWS_LATE}')
        connection.execute('insert into t(b) values(1)')
        connection.commit()
        connection.close()
        compare(group, paths, ('s1', 's2'))
        print(f'all {rows} rows are back on the active copy: {rolled[0]["message"]}')
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        if writer is not None:
            writer.kill()
        group.stop_all()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
