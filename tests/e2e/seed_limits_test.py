#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds are bounded: so many at once, so many bytes a second; those that wait are seen.

    seed_limits_test.py UNDERSTUDY UNDERSTUDYD

  1. with seed.parallel 1, three databases get a copy on one server: one is seeded, two say what they wait for;
  2. a copy's own bandwidth counts instead of its server's (--bandwidth), and can be changed while it is seeded;
  3. the source is killed while one is seeded and others wait: all go on, and become equal.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time

from cluster_test import Failed, Group, check, image, wait_for

MIB = 1 << 20
SIZE = 3 * MIB
NAMES = ('one', 'two', 'three')


class SlowGroup(Group):
    def config(self, name, listen):
        path = super().config(name, listen)
        with open(path, 'a') as file:
            file.write('[seed]\nparallel = 1\n' + ('bandwidth = "256KiB"\n' if name == 's2' else ''))
        return path


def make_database(path, rows=SIZE // 4096):
    connection = sqlite3.connect(path)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(a integer primary key, b blob)')
    connection.executemany('insert into t values(?, ?)', ((i, os.urandom(3900)) for i in range(rows)))
    connection.commit()
    connection.close()


def copy_of(group, database, server='s2'):
    return next(c for c in group.status(database)['copies'] if c['server'] == server)


def queue(group):
    """Databases whose seed is under way, and those that wait, with their words."""
    running, waiting = [], {}
    for name in NAMES:
        copy = copy_of(group, name)
        if copy['state'] not in ('Seeding', 'Initializing'):
            continue
        if copy['seed_waits']:
            waiting[name] = copy['seed_waits']
        elif copy['seed_total']:
            running.append(name)
    return running, waiting


def one_at_a_time(group):
    for name in NAMES:
        group.run('copy', 'add', name, 's2', '--no-wait')
    wait_for('one is seeded and two wait', lambda: [len(part) for part in queue(group)] == [1, 2])
    _, waiting = queue(group)
    check(all('seed.parallel is 1' in words for words in waiting.values()), waiting)
    check(any('1 wait before' in words for words in waiting.values()), waiting)
    name = next(iter(waiting))
    table = group.run('status', name).stdout
    check('s2: waits to be seeded' in table, table)


def faster(group):
    """What is left of the one that is seeded, at the server's rate, would take some 10 s."""
    running, _ = queue(group)
    check(len(running) == 1, running)
    given = next(c for c in group.status(running[0])['copies'] if c['server'] == 's1')['seeds_given']
    check(given == [{'server': 's2', 'running': True}], given)
    done = copy_of(group, running[0])['seed_done']
    began = time.monotonic()
    wait_for('some of it', lambda: copy_of(group, running[0])['seed_done'] > done, limit=30)
    group.run('copy', 'bandwidth', running[0], 's2', '200MiB')
    wait_for('seeded', lambda: copy_of(group, running[0])['state'] == 'Healthy', limit=30)
    print(f'{running[0]}: seeded {time.monotonic() - began:.1f} s later')
    wait_for('the next one is seeded', lambda: len(queue(group)[0]) == 1)
    return running[0]


def source_is_killed(group):
    wait_for('some of it', lambda: any(copy_of(group, name)['seed_done'] for name in queue(group)[0]))
    group.kill('s1', signal.SIGKILL)
    group.start('s1')
    for name in NAMES:
        group.run('copy', 'bandwidth', name, 's2', '200MiB')
    for name in NAMES:
        wait_for(f'{name} is seeded', lambda: copy_of(group, name)['state'] == 'Healthy')


def command_limits(group):
    began = time.monotonic()
    group.run('copy', 'reseed', 'one', 's2', '--full', '--bandwidth', '1MiB')
    took = time.monotonic() - began
    # What was not used is saved up for a moment only, and the window lets a little in before.
    check(took > (SIZE / MIB - 1) * 0.8, f'{SIZE} bytes were seeded in {took:.1f} s at 1 MiB/s')
    refused = group.run('copy', 'bandwidth', 'one', 's2', 'fast', ok=None)
    check(refused.returncode == 2 and 'fast' in refused.stderr, refused)


def main():
    directory = tempfile.mkdtemp(prefix='understudy-seeds-')
    group = SlowGroup(directory, sys.argv[1], sys.argv[2])
    try:
        for name in ('s1', 's2'):
            group.start(name)
        group.run('activation', 'pause')  # s1 stays the active one while it is down
        for name in NAMES:
            make_database(group.path(name + '.db'))
            group.run('db', 'add', name, group.path(name + '.db'))
        one_at_a_time(group)
        faster(group)
        source_is_killed(group)
        command_limits(group)
        for name in NAMES:
            group.run('wait', name)
            check(image(group.path(name + '.db')) == image(copy_of(group, name)['path']), f'{name} differs')
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        group.stop_all()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
