#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three daemons on loopback follow one database that stock SQLite writes.

    cluster_test.py UNDERSTUDY UNDERSTUDYD

  1. bad input is refused in one sentence, and nothing half-done stays behind;
  2. the copies are seeded while the database is written, and `wait` includes what was committed before it;
  3. kill -9 and restart of each daemon, and commits made while the active's was down, leave equal copies;
  4. suspend, resume, removal and a new copy; a backup from a passive copy;
  5. SIGTERM ends a daemon with exit code 0 in a few seconds.

Equal means byte for byte after a checkpoint, but for the read-only mark (byte 18 of page 1).
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE = 60


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_for(what, condition, limit=DEADLINE):
    """Polls a condition; the short pause is the poll's interval, the deadline is what counts."""
    pause = threading.Event()
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return
        pause.wait(0.05)
    raise Failed(f'not within {limit} s: {what}')


class Group:
    def __init__(self, directory, command, daemon, wrapper=()):
        self.directory, self.command, self.daemon = directory, command, daemon
        self.wrapper = list(wrapper)  # a command that ends by running its arguments in its own place
        self.processes, self.addresses = {}, {}
        os.makedirs(os.path.join(directory, 'group'))

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def config(self, name, listen):
        path = self.path(name + '.toml')
        with open(path, 'w') as file:
            file.write(f'''[server]
name = "{name}"
data_dir = "{self.path(name)}"
listen = "{listen}"
[coordinator]
path = "{self.path('group', 'group.db')}"
lease = "2s"
[ship]
retry_max = "1s"
[backup]
repository = "{self.path('repository')}"
''')
        return path

    def start(self, name):
        listen = self.addresses.get(name, '127.0.0.1:0')
        with open(self.path(name + '.err'), 'ab') as errors:
            self.processes[name] = subprocess.Popen(
                [*self.wrapper, self.daemon, '--config', self.config(name, listen)], stderr=errors)
        def address_known():
            check(self.processes[name].poll() is None, f'{name} ended: {self.errors(name)}')
            return self.find_address(name)
        wait_for(f'{name} is up', address_known)

    def find_address(self, name):
        if name in self.addresses:
            return self.run('server', 'list', server=name, ok=None).returncode == 0
        database = self.path('group', 'group.db')
        if not os.path.exists(database):
            return False
        try:
            with sqlite3.connect(f'file:{database}?mode=ro', uri=True, timeout=5) as connection:
                row = connection.execute('select value from pairs where key=?', ('servers/' + name,)).fetchone()
        except sqlite3.OperationalError:
            return False
        if row is None:
            return False
        self.addresses[name] = json.loads(row[0])['address']
        return True

    def errors(self, name):
        with open(self.path(name + '.err'), errors='replace') as file:
            return file.read()[-2000:]

    def report(self, failure):
        print('FAILED:', failure)
        for name in self.addresses:
            print(f'--- {name} ---\n{self.errors(name)}')

    def kill(self, name, how=signal.SIGKILL):
        process = self.processes.pop(name)
        process.send_signal(how)
        return process.wait(timeout=20)

    def run(self, *arguments, server='s1', ok=True, timeout=DEADLINE + 30):
        result = subprocess.run([self.command, '--server', self.addresses[server], *arguments],
                                capture_output=True, text=True, timeout=timeout)
        if ok is True:
            check(result.returncode == 0, f'{arguments}: {result.returncode}: {result.stderr}{result.stdout}')
        if ok is False:
            check(result.returncode in (1, 2), f'{arguments} did not fail: {result.returncode}: {result.stdout}')
        return result

    def status(self, database='orders', server='s1'):
        return json.loads(self.run('status', database, '-o', 'json', server=server).stdout)['databases'][0]

    def copy(self, name, server='s1'):
        return next(c for c in self.status(server=server)['copies'] if c['server'] == name)

    def stop_all(self):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


class Writer(threading.Thread):
    """Commits to the database until told to stop; checkpoints by SQLite's own defaults."""

    def __init__(self, path):
        super().__init__()
        self.path, self.stopped, self.commits, self.error = path, threading.Event(), 0, None

    def run(self):
        try:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            connection.execute('pragma synchronous=normal')
            while not self.stopped.is_set():
                connection.execute('insert or replace into t values(?, ?)',
                                   (self.commits % 5000, os.urandom(200 + self.commits % 900)))
                self.commits += 1
                self.stopped.wait(0.002)
            connection.close()
        except Exception as error:  # reported by the main thread
            self.error = error

    def finish(self):
        self.stopped.set()
        self.join()
        check(self.error is None, f'the writer failed: {self.error}')


def image(path):
    """The database's bytes as a reader sees them, by copying every page through SQLite."""
    connection = sqlite3.connect(f'file:{path}?mode=ro', uri=True, timeout=30)
    check(connection.execute('pragma integrity_check').fetchall() == [('ok',)], f'{path} is corrupt')
    target = sqlite3.connect(':memory:')
    connection.backup(target)
    connection.close()
    content = bytearray(target.serialize()) if hasattr(target, 'serialize') else None
    target.close()
    content[18:20] = b'\x02\x02'
    return bytes(content)


def compare(group, paths, names=('s1', 's2', 's3')):
    group.run('wait', 'orders', '--replayed', '--timeout', '60s')
    active = image(paths['s1'])
    for name in names:
        check(image(paths[name]) == active, f'the copy on {name} differs from the active one')


def refuse_bad_input(group, source):
    not_sqlite, journal = group.path('text.db'), group.path('rollback.db')
    with open(not_sqlite, 'w') as file:
        file.write('not a database\n' * 100)
    connection = sqlite3.connect(journal)
    connection.execute('create table t(x)')
    connection.commit()
    connection.close()
    for arguments, word in [
            (('db', 'add', 'a/b', source), 'a/b'),
            (('db', 'add', 'x', group.path('absent.db')), 'absent.db'),
            (('db', 'add', 'x', not_sqlite), 'text.db'),
            (('db', 'add', 'x', journal), 'journal_mode'),
            (('db', 'add', 'x', source, '--copies', 's9'), 's9'),
            (('db', 'add', 'x', source, '--copies', 's2,s2'), 's2'),
            (('status', 'nothing'), 'nothing'),
            (('backup', 'run', 'nothing'), 'nothing')]:
        result = group.run(*arguments, ok=False)
        check(word in result.stderr, f'{arguments}: {result.stderr}')
    check(json.loads(group.run('db', 'list', '-o', 'json').stdout)['databases'] == [], 'something was added')
    second = subprocess.run([group.daemon, '--config', group.path('s1.toml')], capture_output=True, text=True,
                            timeout=20)
    check(second.returncode == 1 and 'another understudyd' in second.stderr, f'second daemon: {second.stderr}')


def main():
    directory = tempfile.mkdtemp(prefix='understudy-cluster-')
    group = Group(directory, sys.argv[1], sys.argv[2])
    source = group.path('orders.db')
    connection = sqlite3.connect(source)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(a integer primary key, b blob)')
    connection.executemany('insert into t values(?, ?)', ((i, os.urandom(700)) for i in range(4000)))
    connection.commit()
    connection.close()
    writer = None
    try:
        for name in ('s1', 's2', 's3'):
            group.start(name)
        refuse_bad_input(group, source)

        writer = Writer(source)
        writer.start()
        group.run('db', 'add', 'orders', source, '--copies', 's2,s3')
        paths = {'s1': source}
        for name in ('s2', 's3'):
            wait_for(f'{name} is healthy', lambda: group.copy(name)['state'] == 'Healthy')
            paths[name] = group.copy(name)['path']
        group.run('db', 'add', 'orders', source, ok=False)
        writer.finish()
        compare(group, paths)
        try:
            sqlite3.connect(paths['s2']).execute('delete from t')
            raise Failed('a passive copy let itself be written')
        except sqlite3.OperationalError as error:
            check('readonly' in str(error), str(error))

        for victim in ('s2', 's1', 's3'):
            writer = Writer(source)
            writer.start()
            wait_for('commits', lambda: writer.commits > 100)
            group.kill(victim)
            before = writer.commits
            wait_for('commits while it is down', lambda: writer.commits > before + 100)
            group.start(victim)
            writer.finish()
            wait_for(f'the active copy is mounted after the kill of {victim}',
                     lambda: group.copy('s1')['state'] == 'Mounted')
            compare(group, paths)
        seeds = [e for e in events(group) if e['number'] == 2030]
        check(len(seeds) == 2, f'a copy was seeded again: {seeds}')
        ends = [e for e in events(group) if e['number'] == 2014]
        check(not ends, f'a restart cost a mount that had begun: {ends}')

        group.run('copy', 'suspend', 'orders', 's3', '--reason', 'test')
        wait_for('suspended', lambda: group.copy('s3')['state'] == 'Suspended')
        writer = Writer(source)
        writer.start()
        wait_for('commits', lambda: writer.commits > 100)
        group.run('backup', 'run', 'orders', '--from', 'passive')
        backups = json.loads(group.run('backup', 'list', 'orders', '-o', 'json').stdout)['backups']
        check(len(backups) == 1 and backups[0]['role'] == 'passive', f'backups: {backups}')
        group.run('backup', 'verify', 'orders')
        group.run('copy', 'resume', 'orders', 's3')
        wait_for('resumed', lambda: group.copy('s3')['state'] == 'Healthy')
        group.run('copy', 'remove', 'orders', 's2')
        wait_for('its file is gone', lambda: not os.path.exists(paths['s2']))
        group.run('copy', 'add', 'orders', 's2')
        wait_for('seeded again', lambda: group.copy('s2')['state'] == 'Healthy')
        writer.finish()
        compare(group, paths)

        for name in ('s3', 's1', 's2'):
            check(group.kill(name, signal.SIGTERM) == 0, f'{name} did not stop cleanly: {group.errors(name)}')
        print('all copies were equal at every look')
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        if writer is not None:
            writer.stopped.set()
            writer.join()
        group.stop_all()
        if '--keep' not in sys.argv:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


def events(group):
    return json.loads(group.run('events', '-o', 'json').stdout)['events']


if __name__ == '__main__':
    sys.exit(main())
