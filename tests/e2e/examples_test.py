#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The examples' applications beside the copies of a lab, in each language that is installed here.

    examples_test.py UNDERSTUDY EXAMPLES NPM_CACHE

A client stores orders and asks again where it is refused, as through a load balancer, while the active copy is moved, and
while the daemon of the active copy is killed with the application beside it. Every order that was acknowledged must be there.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

UNDERSTUDY, EXAMPLES, CACHE = (os.path.abspath(path) for path in sys.argv[1:4])
# Under that name a package with the same interface that brings its program: better-sqlite3 itself is compiled for minutes
# where its prebuilt one cannot be downloaded.
BETTER_SQLITE = 'better-sqlite3@npm:libsql@0.5.29'
BUILD_SECONDS_MAX, DEADLINE = 240, 60
SERVERS = ('s1', 's2')


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_for(what, condition):
    pause, end = threading.Event(), time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise Failed(f'not within {DEADLINE} s: {what}')
        pause.wait(0.1)


# --- how each language's application is started: (command, environment), or why it cannot be ---

def example(*parts):
    return os.path.join(EXAMPLES, *parts)


def built(command, environment=None):
    """None, or the last words of a build that failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS_MAX,
                              env=os.environ | (environment or {}))
    except subprocess.TimeoutExpired:
        return f'not built within {BUILD_SECONDS_MAX} s'
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ['?'])[-1]


def python(_):
    return [sys.executable, example('python', 'orders.py'), '{database}', '{address}'], {}


def node(_):
    if not shutil.which('node') or not shutil.which('npm'):
        return 'node and npm are not installed'
    modules = os.path.join(CACHE, 'examples')
    if not os.path.exists(os.path.join(modules, 'node_modules', 'better-sqlite3')):
        os.makedirs(modules, exist_ok=True)
        failed = built(['npm', 'install', '--prefix', modules, '--no-audit', '--no-fund', BETTER_SQLITE])
        if failed:
            return f'npm cannot bring {BETTER_SQLITE}: {failed}'
    return ['node', example('node', 'orders.js'), '{database}', '{address}'], {'NODE_PATH': os.path.join(modules, 'node_modules')}


def php(_):
    if not shutil.which('php') or 'sqlite3' not in subprocess.run(['php', '-m'], capture_output=True, text=True, check=False).stdout:
        return 'php-cli and php-sqlite3 are not installed'
    return ['php', '-S', '{address}', example('php', 'orders.php')], {'ORDERS_DATABASE': '{database}'}


def go(directory):
    if not shutil.which('go') or not os.path.isdir('/usr/share/gocode/src/github.com/mattn/go-sqlite3'):
        return 'golang-go and golang-github-mattn-go-sqlite3-dev are not installed'
    program = os.path.join(directory, 'orders-go')
    failed = built(['go', 'build', '-tags', 'libsqlite3', '-o', program, example('go', 'orders.go')],
                   {'GO111MODULE': 'off', 'GOPATH': '/usr/share/gocode', 'GOFLAGS': '-mod=mod', 'GOTOOLCHAIN': 'local'})
    check(failed is None, f'go/orders.go is not built: {failed}')
    return [program, '{database}', '{address}'], {}


def cpp(directory):
    program = os.path.join(directory, 'orders-cpp')
    compiler = (['ccache'] if shutil.which('ccache') else []) + ['c++']
    for command in ([*compiler, '-std=c++20', '-Wall', '-Wextra', '-Werror', '-c', example('cpp', 'orders.cc'), '-o', program + '.o'],
                    ['c++', program + '.o', '-o', program, '-lsqlite3', '-lcpp-httplib']):
        failed = built(command)
        check(failed is None, f'cpp/orders.cc is not built: {failed}')
    return [program, '{database}', '{address}'], {}


# --- the group, and the instances beside its copies ---

class Lab:
    def __init__(self, directory):
        self.directory = os.path.join(directory, 'lab')
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith('UNDERSTUDY_')}
        self.environment |= {'UNDERSTUDY_LAB': self.directory}

    def run(self, *arguments, server='s1'):
        done = subprocess.run([UNDERSTUDY, *arguments], capture_output=True, text=True, timeout=120, check=False,
                              env=self.environment | {'UNDERSTUDY_SERVER': server})
        check(done.returncode == 0, f'{arguments}: {done.stdout}{done.stderr}')
        return done.stdout

    def copies(self, server='s1'):
        return json.loads(self.run('status', 'orders', '-o', 'json', server=server))['databases'][0]['copies']

    def healthy(self):
        return all(copy['state'] in ('Mounted', 'Healthy') for copy in self.copies('s2'))


class Instances:
    """One instance beside each copy; a client that asks one after the other until one says yes."""

    def __init__(self, command, environment, paths, log):
        self.command, self.environment, self.paths, self.log = command, environment, paths, log
        self.urls, self.processes, self.stored = {}, {}, 0
        for server in paths:
            self.start(server)

    def start(self, server):
        if server not in self.urls:
            with socket.create_server(('127.0.0.1', 0)) as probe:
                self.urls[server] = f'127.0.0.1:{probe.getsockname()[1]}'
        values = {'database': self.paths[server], 'address': self.urls[server]}
        self.processes[server] = subprocess.Popen(
            [word.format(**values) for word in self.command], stdout=self.log, stderr=self.log,
            env=os.environ | {name: value.format(**values) for name, value in self.environment.items()})
        wait_for(f'the instance beside {server} answers', lambda: self.ask(server) is not None)

    def ask(self, server, item=None):
        """What the instance answers: text; an HTTP code; None where nobody answers."""
        data = item.encode() if item is not None else None
        try:
            with urllib.request.urlopen(f'http://{self.urls[server]}/', data=data, timeout=20) as answer:
                return answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def store(self, item):
        wait_for(f'somebody stores {item}', lambda: any(self.ask(server, item) == 'stored' for server in self.paths))
        self.stored += 1

    def kill(self, server):
        process = self.processes.pop(server)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self):
        for server in list(self.processes):
            self.kill(server)


def through_moves(lab, name, instances):
    for number in range(5):
        instances.store(f'{name} {number}')
    passive = 's2' if lab.copies()[0]['role'] == 'active' else 's1'
    check(instances.ask(passive, 'refused') == 503, f'{name}: a passive copy does not answer a write with 503')
    lab.run('switchover', 'orders', '--to', passive)
    for number in range(5):
        instances.store(f'{name} moved {number}')
    lab.run('switchover', 'orders', '--to', 's1')
    instances.store(f'{name} back')


def through_a_death(lab, name, instances):
    lab.run('wait', 'orders', '--durable', server='s2')  # what is acknowledged after it could be lost with the server
    lab.run('lab', 'kill', 's1', server='s2')
    instances.kill('s1')
    instances.paths = {'s2': instances.paths['s2']}
    instances.store(f'{name} after the death')
    lab.run('lab', 'start', 's1', server='s2')
    wait_for('both copies are healthy', lab.healthy)
    lab.run('switchover', 'orders', '--to', 's1')


def main():
    skipped, begin = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix='understudy-examples-') as directory:
        applications = {}
        for language in (python, node, php, go, cpp):
            made = language(directory)
            if isinstance(made, str):
                skipped.append(f'{language.__name__}: {made}')
            else:
                applications[language.__name__] = made
        lab, database, expected = Lab(directory), os.path.join(directory, 'orders.db'), 0
        lab.run('lab', 'up', '--servers', '2', '--lease', '2s')
        log = open(os.path.join(directory, 'log'), 'w+', encoding='utf-8')
        try:
            with contextlib.closing(sqlite3.connect(database)) as orders, orders:
                orders.execute('PRAGMA journal_mode=WAL')
                orders.execute('CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)')
            lab.run('db', 'add', 'orders', database, '--copies', 's2')
            paths = {copy['server']: copy['path'] for copy in lab.copies()}
            for name, (command, environment) in applications.items():
                instances = Instances(command, environment, dict(paths), log)
                try:
                    through_moves(lab, name, instances)
                    if name == 'python':  # it takes a lease, and is the same for every language
                        through_a_death(lab, name, instances)
                        instances.paths = dict(paths)
                        instances.start('s1')
                    expected += instances.stored
                    check(instances.ask('s1') == f'{expected} orders', f'{name}: {instances.ask("s1")}, not {expected}')
                finally:
                    instances.close()
                print(f'{name}: {instances.stored} orders, none is missing')
            lab.run('wait', 'orders', '--replayed')
        except Failed as failure:
            log.seek(0)
            print('FAILED:', failure, '\n--- the instances ---\n' + log.read()[-3000:])
            return 1
        finally:
            lab.run('lab', 'down')
    print('\n'.join(f'not run: {reason}' for reason in skipped) or 'every language was run', f'in {time.monotonic() - begin:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
