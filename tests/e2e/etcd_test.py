#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A lab whose coordinator is etcd: each of three daemons runs a member, and one of them may die.

    etcd_test.py UNDERSTUDY

  1. a database gets two copies, and they follow it;
  2. a server is killed, with its member: the group works on, and can be changed;
  3. it comes back and catches up; a member that is killed alone comes back by itself;
  4. a frozen server, with its member, does not hold up the others;
  5. the lab goes down and up again with what it knew.
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

UNDERSTUDY = os.path.abspath(sys.argv[1])
DEADLINE = 30


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_until(what, holds):
    """Polls a condition; the short wait is the poll's interval, the deadline is what counts."""
    end = time.monotonic() + DEADLINE
    while not holds():
        check(time.monotonic() < end, f'not within {DEADLINE} s: {what}')
        signal.sigtimedwait([], 0.05)


class Lab:
    def __init__(self, directory):
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith('UNDERSTUDY_')}
        self.environment.update(UNDERSTUDY_LAB=directory, UNDERSTUDY_SERVER='s1')

    def run(self, *arguments):
        return subprocess.run([UNDERSTUDY, *arguments], capture_output=True, text=True, check=False,
                              timeout=60, env=self.environment, stdin=subprocess.DEVNULL)

    def ok(self, *arguments):
        result = self.run(*arguments)
        check(result.returncode == 0, f'{arguments}: {result.returncode}: {result.stderr}{result.stdout}')
        return result.stdout

    def ask(self, *arguments):
        return json.loads(self.ok(*arguments, '-o', 'json'))

    def copies(self):
        return {copy['server']: copy for copy in self.ask('status', 'orders')['databases'][0]['copies']}

    def state(self, server):
        return self.copies()[server]['state']

    def member(self, server):
        """The process id of a server's etcd member, or None."""
        wanted = os.path.join(self.directory, server, 'data', '.etcd', 'data').encode()
        for name in os.listdir('/proc'):
            if not name.isdigit():
                continue
            try:
                with open(f'/proc/{name}/cmdline', 'rb') as file:
                    if b'--data-dir=' + wanted in file.read().split(b'\0'):
                        return int(name)
            except OSError:
                continue  # it has ended meanwhile
        return None

    def outputs(self):
        text = ''
        for server in ('s1', 's2', 's3'):
            for path in ('output.txt', 'data/.etcd/etcd.log'):
                full = os.path.join(self.directory, server, path)
                if os.path.exists(full):
                    with open(full, encoding='utf-8', errors='replace') as file:
                        text += f'--- {server}/{path} ---\n{file.read()[-3000:]}\n'
        return text


def write(path, rows):
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    for _ in range(rows):
        connection.execute('insert into t values(?)', (os.urandom(100),))
    count = connection.execute('select count(*) from t').fetchone()[0]
    connection.close()
    return count


def check_rows(lab, servers, rows):
    for server in servers:
        connection = sqlite3.connect(f"file:{lab.copies()[server]['path']}?mode=ro", uri=True, timeout=30)
        found = connection.execute('select count(*) from t').fetchone()[0]
        connection.close()
        check(found == rows, f'{server} has {found} rows, not {rows}')


def test(lab, source):
    lab.ok('lab', 'up', '--servers', '3', '--coordinator', 'etcd')
    check(lab.ask('lab', 'status')['coordinator'] == 'etcd', 'lab status does not say etcd')
    lab.ok('db', 'add', 'orders', source, '--copies', 's2,s3')
    rows = write(source, 300)
    for server in ('s2', 's3'):
        wait_until(f'{server} is healthy', lambda: lab.state(server) == 'Healthy')
    lab.ok('wait', 'orders', '--replayed', '--timeout', '30s')
    check_rows(lab, ('s2', 's3'), rows)

    check(lab.member('s3') is not None, 's3 has no member')
    lab.ok('lab', 'kill', 's3')
    check(lab.member('s3') is None, 'the member of s3 outlived it')
    check([d['name'] for d in lab.ask('db', 'list')['databases']] == ['orders'], 'the group forgot its database')
    lab.ok('copy', 'suspend', 'orders', 's2', '--reason', 'test')
    wait_until('s2 is suspended', lambda: lab.state('s2') == 'Suspended')
    lab.ok('copy', 'resume', 'orders', 's2')
    rows = write(source, 300)
    lab.ok('wait', 'orders', '--replayed', '--servers', 's2', '--timeout', '30s')
    check_rows(lab, ('s2',), rows)

    lab.ok('lab', 'start', 's3')
    lab.ok('wait', 'orders', '--replayed', '--timeout', '30s')
    check_rows(lab, ('s3',), rows)
    old = lab.member('s2')
    os.kill(old, signal.SIGKILL)
    wait_until('the member of s2 is back', lambda: lab.member('s2') not in (None, old))

    lab.ok('lab', 'pause', 's2')
    lab.ok('copy', 'suspend', 'orders', 's3', '--reason', 'test')
    lab.ok('copy', 'resume', 'orders', 's3')
    lab.ok('lab', 'resume', 's2')
    rows = write(source, 10)
    lab.ok('wait', 'orders', '--replayed', '--timeout', '30s')

    lab.ok('lab', 'down')
    check(all(lab.member(server) is None for server in ('s1', 's2', 's3')), 'a member outlived the lab')
    other = lab.run('lab', 'up', '--servers', '3', '--coordinator', 'embedded')
    check(other.returncode == 1 and 'made with the coordinator etcd' in other.stderr, other.stderr)
    lab.ok('lab', 'up', '--servers', '3')
    lab.ok('wait', 'orders', '--replayed', '--timeout', '30s')
    check_rows(lab, ('s2', 's3'), rows)


def main():
    temp = tempfile.mkdtemp(prefix='understudy-etcd-')
    lab = Lab(os.path.join(temp, 'lab'))
    source = os.path.join(temp, 'orders.db')
    connection = sqlite3.connect(source)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(x)')
    connection.close()
    begin = time.monotonic()
    try:
        test(lab, source)
    except Failed as failure:
        print('FAILED:', failure)
        print(lab.outputs())
        return 1
    finally:
        lab.run('lab', 'down')
        shutil.rmtree(temp, ignore_errors=True)
    print(f'the group lived on etcd for {time.monotonic() - begin:.1f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
