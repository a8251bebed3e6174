#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A copy is seeded from another passive copy, while the database is written.

    seed_sources_test.py UNDERSTUDY UNDERSTUDYD

  1. a new copy on s3 takes its pages from s2, says so, and becomes equal;
  2. the source is changed while the copy is resynchronised: it goes on from there;
  3. s2 is killed while s3 takes pages from it: the rest comes from the active copy, with an event;
  4. what cannot be a source is refused, with a word on what can.
"""

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading

from cluster_test import Failed, Group, check, image, wait_for
from seed_limits_test import make_database

PAGES = 700


class Writer:
    """Changes rows until it is stopped."""

    def __init__(self, path):
        self.path, self.end, self.rounds = path, threading.Event(), 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        connection = sqlite3.connect(self.path, timeout=30)
        while not self.end.wait(0.02):
            with connection:
                connection.execute('update t set b = ? where a = ?', (os.urandom(500), self.rounds % PAGES))
            self.rounds += 1
        connection.close()

    def stop(self):
        self.end.set()
        self.thread.join()


def copy_of(group, server):
    return next(c for c in group.status('one')['copies'] if c['server'] == server)


def under_way(group, source):
    copy = copy_of(group, 's3')
    return copy['seed_source'] == source and 0 < copy['seed_done'] < copy['seed_total']


def seeded(group):
    wait_for('s3 is healthy', lambda: copy_of(group, 's3')['state'] == 'Healthy' and not copy_of(group, 's3')['reseeding'],
             limit=120)


def equal(group):
    group.run('wait', 'one')
    for server in ('s2', 's3'):
        check(image(group.path('one.db')) == image(copy_of(group, server)['path']), f'{server} differs')


def from_a_passive_copy(group):
    group.run('copy', 'add', 'one', 's3', '--from', 's2', '--bandwidth', '400KiB', '--no-wait')
    wait_for('pages come from s2', lambda: under_way(group, 's2'))
    given = copy_of(group, 's2')['seeds_given']
    check(given == [{'server': 's3', 'running': True}], given)
    check(copy_of(group, 's1')['seeds_given'] == [], 'the active copy gives a seed')
    table = group.run('status', 'one').stdout
    check('%), from s2' in table, table)
    group.run('copy', 'bandwidth', 'one', 's3', '0')
    seeded(group)
    events = group.run('events', '--db', 'one', '--id', '2030').stdout
    check('seeding the copy of one on s3, with pages from s2' in events, events)


def the_source_changes(group):
    group.run('copy', 'reseed', 'one', 's3', '--full', '--bandwidth', '400KiB', '--no-wait')
    wait_for('pages come from s2', lambda: under_way(group, 's2'))
    done = copy_of(group, 's3')['seed_done']
    group.run('copy', 'source', 'one', 's3', 'active')
    wait_for('pages come from s1', lambda: under_way(group, 's1'))
    check(copy_of(group, 's3')['seed_done'] >= done, 'the seed has begun anew')
    group.run('copy', 'bandwidth', 'one', 's3', '0')
    seeded(group)


def the_source_dies(group):
    group.run('copy', 'reseed', 'one', 's3', '--full', '--from', 's2', '--bandwidth', '300KiB', '--no-wait')
    wait_for('pages come from s2', lambda: under_way(group, 's2'))
    group.kill('s2', signal.SIGKILL)
    wait_for('pages come from s1', lambda: under_way(group, 's1') or copy_of(group, 's3')['state'] == 'Healthy', limit=90)
    group.run('copy', 'bandwidth', 'one', 's3', '0')
    seeded(group)
    events = group.run('events', '--db', 'one', '--id', '2059').stdout
    check('takes the rest of its pages from s1, not from s2: no connection' in events, events)
    group.start('s2')
    wait_for('s2 is healthy', lambda: copy_of(group, 's2')['state'] == 'Healthy')


def what_cannot_be(group):
    itself = group.run('copy', 'source', 'one', 's3', 's3', ok=None)
    check(itself.returncode != 0 and 'from itself' in itself.stderr, itself)
    nowhere = group.run('copy', 'source', 'one', 's3', 's9', ok=None)
    check(nowhere.returncode != 0 and 's9' in nowhere.stderr, nowhere)
    group.run('copy', 'suspend', 'one', 's2')
    suspended = group.run('copy', 'source', 'one', 's3', 's2', ok=None)
    check(suspended.returncode != 0 and 'is suspended' in suspended.stderr and 's1' in suspended.stderr, suspended)
    group.run('copy', 'resume', 'one', 's2')


def main():
    directory = tempfile.mkdtemp(prefix='understudy-sources-')
    group = Group(directory, sys.argv[1], sys.argv[2])
    writer = None
    try:
        for name in ('s1', 's2', 's3'):
            group.start(name)
        group.run('activation', 'pause')
        make_database(group.path('one.db'), PAGES)
        group.run('db', 'add', 'one', group.path('one.db'), '--copies', 's2')
        wait_for('s2 is healthy', lambda: copy_of(group, 's2')['state'] == 'Healthy')
        writer = Writer(group.path('one.db'))
        from_a_passive_copy(group)
        the_source_changes(group)
        the_source_dies(group)
        what_cannot_be(group)
        writer.stop()
        check(writer.rounds > 100, f'only {writer.rounds} transactions')
        equal(group)
        print(f'{writer.rounds} transactions meanwhile')
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        if writer:
            writer.stop()
        group.stop_all()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
