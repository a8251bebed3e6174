#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bits flip on disks; scrubbing finds them and repairs each from a copy that is right.

    scrub_test.py UNDERSTUDY UNDERSTUDYD

Three daemons, one database that a writer goes on writing. Bytes are changed in the main database files after a WAL
checkpoint: in cold pages, pages of the free list, page 1; and in closed log files.
  1. a clean group: everything is read, nothing is found;
  2. on a passive copy, then on the active one, while it is written;
  3. in log files, of both;
  4. the same page on two copies: the third repairs both;
  5. the same page on all copies: told, nothing is overwritten, and repaired as soon as one is right again;
  6. a source that is down is waited for;
  7. a seed meets a damaged page of the active copy: it is repaired first, and the new copy is right.
In the end all copies are equal, nothing was seeded or resynchronised, and no daemon was restarted but the one of 6.
With --measure SECONDS it only measures what scrubbing costs a writer.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

from cluster_test import Failed, Group, Writer, check, compare, events, wait_for

FOUND, REPAIRED, NOT_REPAIRED = 2080, 2081, 2082
SEED_EVENTS = (2030, 2033, 2025)
PAGE = 4096
FLIP = '''
import sys
with open(sys.argv[1], 'r+b') as file:
    for at in map(int, sys.argv[2:]):
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x40]))
'''


class ScrubGroup(Group):
    scrub = 'rate = "256MiB"\nevery = "0s"\n'

    def config(self, name, listen):
        path = super().config(name, listen)
        with open(path, 'a') as file:
            file.write(f'[scrub]\n{self.scrub}[log]\ngeneration_bytes = "64KiB"\n')
        return path


def make_database(path):
    """Cold pages, hot ones that the writer changes, and a free list."""
    connection = sqlite3.connect(path)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(a integer primary key, b blob)')
    connection.execute('create table cold(a integer primary key, b blob)')
    connection.execute('create table gone(a integer primary key, b blob)')
    for table, rows in (('t', 500), ('cold', 3000), ('gone', 400)):
        connection.executemany(f'insert into {table} values(?, ?)', ((i, os.urandom(700)) for i in range(rows)))
    connection.execute('drop table gone')
    connection.commit()
    connection.close()


def pages_of(path, kind):
    """Page numbers: of the leaves of table cold, or of the free list's leaves."""
    connection = sqlite3.connect(f'file:{path}?mode=ro', uri=True)
    root = connection.execute("select rootpage from sqlite_schema where name='cold'").fetchone()[0]
    connection.close()
    with open(path, 'rb') as file:
        content = file.read()

    def number(page, at, size=4):
        start = (page - 1) * PAGE + at
        return int.from_bytes(content[start:start + size], 'big')
    if kind == 'cold':
        pages = [root]
        while number(pages[0], 0, 1) == 5:  # interior
            pages = [number(page, number(page, 12 + 2 * i, 2)) for page in pages for i in range(number(page, 3, 2))]
        return pages
    trunk, leaves = number(1, 32), []
    while trunk:
        leaves += [number(trunk, 8 + 4 * i) for i in range(number(trunk, 4))]
        trunk = number(trunk, 0)
    return leaves


def flip(path, *offsets):
    """By a process of its own: closing a descriptor here would drop the writer's locks."""
    subprocess.run([sys.executable, '-c', FLIP, path, *map(str, offsets)], check=True)


def flip_pages(path, pages, offset=1500):
    flip(path, *((page - 1) * PAGE + (60 if page == 1 else offset) for page in pages))


def page_of(path, page):
    with open(path, 'rb') as file:
        file.seek((page - 1) * PAGE)
        return file.read(PAGE)


def checkpoint(group, paths):
    """Everything is in the main files."""
    group.run('wait', 'orders')
    for path in paths.values():
        def done():
            connection = sqlite3.connect(path, timeout=30)
            _, frames, copied = connection.execute('pragma wal_checkpoint(passive)').fetchone()
            connection.close()
            return frames == copied  # also (1, -1, -1): capture holds others off, and makes it itself
        wait_for(f'{path} is checkpointed', done)


def scrub(group, *servers, ok=True):
    result = group.run('scrub', 'orders', *servers, '--wait', '-o', 'json', ok=None)
    check(result.returncode == (0 if ok else 1), f'scrub {servers}: {result.returncode} {result.stdout}{result.stderr}')
    return {copy['server']: copy for copy in json.loads(result.stdout)['copies']}


def count(group, number, word=''):
    return sum(1 for event in events(group) if event['number'] == number and word in event['message'])


def expect_repaired(group, server, pages):
    before = count(group, REPAIRED, f'on {server} is repaired from')
    copy = scrub(group, server)[server]
    check(copy['found'] == len(pages) and copy['repaired'] == len(pages) and copy['not_repaired'] == 0, copy)
    wait_for('the events', lambda: count(group, REPAIRED, f'on {server} is repaired from') == before + len(pages))
    found = [event['message'] for event in events(group) if event['number'] == FOUND]
    for page in pages:
        check(any(f'page {page} of orders on {server} is damaged' in m and 'is on record' in m for m in found), found)


def clean(group, paths):
    copies = scrub(group)
    check(set(copies) == {'s1', 's2', 's3'}, copies)
    for name, copy in copies.items():
        size = group.copy(name)['size']
        check(copy['pages'] == size // PAGE and copy['found'] == 0 and copy['generations'] > 0, copy)
    status = group.copy('s1')['scrub']
    check(status['last']['found'] == 0 and status['last']['finished'] and status['pass'] is None, status)
    text = group.run('scrub', 'orders', 's2', '--wait').stdout
    check('s2' in text and 'passive' in text, text)


def damaged_while_written(group, paths, server):
    checkpoint(group, paths)
    cold, free = pages_of(paths[server], 'cold'), pages_of(paths[server], 'free')
    pages = [1, cold[3], cold[40], free[1], free[-1]]
    # Page 1 of the active copy may be in the WAL again at once: it is damaged while nobody writes.
    flip_pages(paths[server], pages)
    writer = Writer(paths['s1'])
    try:
        if server == 's1':
            expect_repaired(group, server, pages)
            flip_pages(paths[server], pages[1:], offset=77)
            checkpoint_less = pages[1:]
        writer.start()
        wait_for('commits', lambda: writer.commits > 20)
        if server == 's1':
            # What was repaired may still be right in the WAL; then nothing is wrong for readers.
            copy = scrub(group, server)[server]
            check(copy['not_repaired'] == 0 and copy['found'] <= len(checkpoint_less), copy)
        else:
            expect_repaired(group, server, pages)
        before = writer.commits
        wait_for('it goes on', lambda: writer.commits > before + 20)
    finally:
        writer.finish()
    checkpoint(group, paths)
    check(scrub(group, server)[server]['found'] == 0, 'found again')


def damaged_log(group, paths):
    for server in ('s2', 's1'):
        directory = group.path(server, 'orders', 'log')
        names = sorted(name for name in os.listdir(directory) if name.endswith('.ulog'))
        check(len(names) >= 4, names)
        victim = os.path.join(directory, names[-3])
        with open(victim, 'rb') as file:
            good = file.read()
        flip(victim, 50, len(good) // 2)
        copy = scrub(group, server)[server]
        check(copy['found'] == copy['repaired'] == 1 and copy['not_repaired'] == 0, copy)
        with open(victim, 'rb') as file:
            parts = file.read()
        check(parts[176:] == good[176:] and len(parts) == len(good), 'the parts are not what they were')


def two_copies(group, paths):
    checkpoint(group, paths)
    page = pages_of(paths['s1'], 'cold')[10]
    for server in ('s1', 's2'):
        flip_pages(paths[server], [page], offset=200 + ord(server[1]))
    copies = scrub(group, 's1')
    check(copies['s1']['repaired'] == 1, copies)
    check(count(group, REPAIRED, f'page {page} of orders on s1 is repaired from s3') == 1, events(group)[-5:])
    check(scrub(group, 's2')['s2']['repaired'] == 1, 's2')


def all_copies(group, paths):
    checkpoint(group, paths)
    page = pages_of(paths['s1'], 'cold')[20]
    for server, path in paths.items():
        flip_pages(path, [page], offset=300 + ord(server[1]))
    before = {server: page_of(path, page) for server, path in paths.items()}
    copies = scrub(group, ok=False)
    for server, copy in copies.items():
        check(copy['found'] == 1 and copy['repaired'] == 0 and copy['not_repaired'] == 1, copy)
        check(copy['findings'][0]['what'] == f'page {page}' and copy['findings'][0]['state'] == 'failed', copy)
        check(page_of(paths[server], page) == before[server], f'{server}: it was overwritten')
    health = group.run('health', ok=None)
    check(health.returncode == 1 and 'Damage' in health.stdout and 'smartctl' in health.stdout, health.stdout)
    check(count(group, NOT_REPAIRED, 'could not be repaired') == 3, events(group)[-6:])
    table = group.run('status', 'orders').stdout
    check(f's2: page {page} is damaged, not repaired' in table, table)
    flip_pages(paths['s3'], [page], offset=300 + ord('3'))
    scrub(group)
    check(group.copy('s1')['scrub']['findings'] == [], group.copy('s1')['scrub'])


def source_is_down(group, paths):
    checkpoint(group, paths)
    page = pages_of(paths['s1'], 'cold')[30]
    for server in ('s1', 's2'):
        flip_pages(paths[server], [page], offset=400 + ord(server[1]))
    group.kill('s3', signal.SIGTERM)
    copy = scrub(group, 's2', ok=False)['s2']
    check(copy['findings'][0]['state'] == 'waiting' and 's3' in copy['findings'][0]['why'], copy)
    check(group.copy('s2')['state'] == 'PageRepair', group.copy('s2'))
    group.start('s3')
    wait_for('s2 is repaired', lambda: group.copy('s2')['scrub']['findings'] == [])
    wait_for('s2 is healthy', lambda: group.copy('s2')['state'] == 'Healthy')
    check(scrub(group, 's1')['s1']['repaired'] == 1, 's1')


def seed_meets_damage(group, paths):
    checkpoint(group, paths)
    group.run('copy', 'remove', 'orders', 's3')
    flip_pages(paths['s1'], [pages_of(paths['s1'], 'cold')[5]], offset=900)
    group.run('copy', 'add', 'orders', 's3')
    check(count(group, REPAIRED, 'on s1 is repaired from s2') > 0, events(group)[-5:])


def run(group, source):
    for name in ('s1', 's2', 's3'):
        group.start(name)
    group.run('db', 'add', 'orders', source, '--copies', 's2,s3')
    paths = {name: group.copy(name)['path'] for name in ('s1', 's2', 's3')}
    paths['s1'] = source
    writer = Writer(source)
    writer.start()
    wait_for('log', lambda: writer.commits > 600)
    writer.finish()
    group.run('wait', 'orders')
    seeds = sum(count(group, number) for number in SEED_EVENTS)
    pids = {name: process.pid for name, process in group.processes.items()}
    for step in (clean, lambda g, p: damaged_while_written(g, p, 's2'), lambda g, p: damaged_while_written(g, p, 's1'),
                 damaged_log, two_copies, all_copies, source_is_down):
        began = time.monotonic()
        step(group, paths)
        compare(group, paths)
        print(f'{getattr(step, "__name__", "")}: {time.monotonic() - began:.1f} s')
    check(sum(count(group, number) for number in SEED_EVENTS) == seeds, 'a copy was seeded or resynchronised')
    for name in ('s1', 's2'):
        check(group.processes[name].poll() is None and group.processes[name].pid == pids[name], f'{name} restarted')
    seed_meets_damage(group, paths)
    compare(group, paths)


def measure(group, source, seconds):
    """Rounds of the same writer with scrubbing off, at the default rate, and again: the ratio of commits."""
    group.scrub = ''
    for name in ('s1', 's2'):
        group.start(name)
    connection = sqlite3.connect(source)
    connection.executemany('insert into cold values(?, ?)', ((i, os.urandom(700)) for i in range(10000, 150000)))
    connection.commit()
    connection.close()
    group.run('db', 'add', 'orders', source, '--copies', 's2')
    connection = sqlite3.connect(source, timeout=30, isolation_level=None)
    connection.execute('pragma synchronous=normal')
    done = {'off': 0, 'on': 0}
    for turn in range(6):
        mode = ('off', 'on')[turn % 2]
        if mode == 'on':
            group.run('scrub', 'orders')
            wait_for('scrubbing', lambda: group.copy('s1')['scrub']['pass'])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for i in range(50):
                connection.execute('insert or replace into t values(?, ?)', (i, os.urandom(400)))
                done[mode] += 1
        passed = group.copy('s1')['scrub']['pass']
        check(mode == 'off' or passed, 'the pass ended early: a larger database is needed')
        if mode == 'on':
            print(f"scrubbed {passed['read'] / seconds / 2**20:.1f} MiB/s of s1")
            wait_for('the pass ends', lambda: not group.copy('s1')['scrub']['pass'] and
                     not group.copy('s2')['scrub']['pass'], limit=300)
    print(f"commits with scrubbing / without: {done['on'] / done['off']:.3f} ({done['off']} without)")


def main():
    directory = tempfile.mkdtemp(prefix='understudy-scrub-')
    source = os.path.join(directory, 'orders.db')
    make_database(source)
    group = ScrubGroup(directory, sys.argv[1], sys.argv[2])
    try:
        if '--measure' in sys.argv:
            measure(group, source, float(sys.argv[sys.argv.index('--measure') + 1]))
        else:
            run(group, source)
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        group.stop_all()
        if '--keep' not in sys.argv:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
