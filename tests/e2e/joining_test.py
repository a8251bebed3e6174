#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/joining.md from nothing: three servers with managed etcd members on three addresses of this machine.

    joining_test.py UNDERSTUDY UNDERSTUDYD

127.0.0.1, .2 and .3 stand for three machines. Tokens that are used, expired, of another group or for another name let
nobody in. Every wait is for a condition, with a deadline.
"""

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

UNDERSTUDY, UNDERSTUDYD = (os.path.abspath(path) for path in sys.argv[1:3])
DEADLINE = 90


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_for(what, condition, limit=DEADLINE):
    pause = threading.Event()
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return
        pause.wait(0.1)
    raise Failed(f'not within {limit} s: {what}')


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def with_field(token, number, value):
    """The token with another field and a checksum that fits."""
    fields = token.split('/')[:-1]
    fields[number] = value
    text = '/'.join(fields)
    return f'{text}/{crc32c(text.encode()):08x}'


def free_port(host):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


class Group:
    def __init__(self, directory):
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith('UNDERSTUDY_')}
        self.environment['HOME'] = directory
        self.processes = {}
        self.addresses = {}

    def data(self, name):
        return os.path.join(self.directory, name, 'data')

    def config(self, name):
        return os.path.join(self.directory, name, 'understudyd.toml')

    def identity(self, name):
        return os.path.join(self.data(name), '.tls', 'server.pem')

    def new_server(self, name):
        """The options with which a new configuration is made."""
        host = '127.0.0.' + name[1:]
        self.addresses[name] = f'{host}:{free_port(host)}'
        return ['--config', self.config(name), '--server-name', name, '--data-dir', self.data(name),
                '--listen', self.addresses[name], '--etcd-client', f'{host}:{free_port(host)}',
                '--etcd-peer', f'{host}:{free_port(host)}']

    def run(self, *arguments, server=None, identity='', ok=True, stdin=None):
        environment = self.environment | {'UNDERSTUDY_IDENTITY': identity}
        if server is not None:
            environment |= {'UNDERSTUDY_SERVER': self.addresses[server],
                            'UNDERSTUDY_IDENTITY': identity or self.identity(server)}
        result = subprocess.run([UNDERSTUDY, *arguments], capture_output=True, text=True, timeout=120, check=False,
                                env=environment, input=stdin if stdin is not None else '')
        if ok:
            check(result.returncode == 0, f'{arguments}: {result.returncode}: {result.stdout}{result.stderr}')
        return result

    def ask(self, *arguments, server='s1'):
        return json.loads(self.run(*arguments, '-o', 'json', server=server).stdout)

    def start(self, name):
        with open(os.path.join(self.directory, name, 'errors'), 'ab') as errors:
            self.processes[name] = subprocess.Popen([UNDERSTUDYD, '--config', self.config(name)], stderr=errors,
                                                    env=self.environment)
        def up():
            check(self.processes[name].poll() is None, f'{name} ended')
            return self.run('status', server=name, ok=False).returncode == 0
        wait_for(f'{name} answers', up)

    def stop(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name)
        process.send_signal(how)
        return process.wait(timeout=DEADLINE)

    def report(self):
        for name in self.addresses:
            path = os.path.join(self.directory, name, 'errors')
            if os.path.exists(path):
                with open(path, errors='replace') as file:
                    print(f'--- {name} ---\n{file.read()[-3000:]}')


def first_server(group):
    group.run('group', 'init', '--name', 'shop', *group.new_server('s1'))
    check(os.stat(group.identity('s1')).st_mode & 0o777 == 0o600, 'the identity can be read by others')
    authority = os.path.join(group.data('s1'), '.tls', 'authority.pem')
    check(os.stat(authority).st_mode & 0o777 == 0o600, "the authority's key can be read by others")
    again = group.run('group', 'init', '--name', 'shop', '--config', group.config('s1'), ok=False)
    check(again.returncode == 1 and 'already' in again.stderr, f'the group was made twice: {again}')
    group.start('s1')


def bad_tokens(group):
    options = group.new_server('s9')
    def join(token):
        result = group.run('server', 'join', '--token', '-', *options, stdin=token, ok=False)
        check(not os.path.exists(group.identity('s9')), 'an identity was written')
        check(result.returncode == 1, f'joined, or failed otherwise: {result}')
        return result.stderr
    good = group.run('server', 'token', '--for', 's2', server='s1').stdout.strip()
    check('for server s2' in join(good), 'the token is for another name')
    check('not copied whole' in join(good[:-1]), 'a token without its end')
    check('no server of the token' in join(with_field(good, 3, 'ab' * 32)), 'a listener of another authority')
    check('does not know this token' in join(with_field(good, 4, 'ab' * 8)), 'a token of another group')
    check('does not know this token' in join(with_field(good, 5, 'ab' * 32)), 'a wrong secret')
    expired = group.run('server', 'token', '--ttl', '1s', server='s1').stdout.strip()
    wait_for('the token has expired', lambda: time.time() > int(expired.split('/')[6]))
    # Whoever asks first after that removes it: the one who joins, or the server's own look.
    message = join(expired)
    check('expired' in message or 'does not know' in message, f'an expired token: {message}')
    del group.addresses['s9']
    return good


def join(group, name, token):
    group.run('server', 'join', '--token', '-', *group.new_server(name), stdin=token)
    group.start(name)


def used_token(group, token):
    options = group.new_server('s9')
    result = group.run('server', 'join', '--token', token, *options, ok=False)
    check(result.returncode == 1, f'a token was used twice: {result}')
    del group.addresses['s9']


def third_server(group):
    # From a server without the authority's key, or with it: any takes the command.
    token = group.run('server', 'token', '--for', 's3', server='s2').stdout.strip()
    options = group.new_server('s3')
    group.run('server', 'join', '--token', token, *options)  # waits until s2's etcd member has caught up
    group.start('s3')
    def all_up():
        servers = group.ask('server', 'list')['servers']
        return [s['name'] for s in servers if s['state'] == 'Up'] == ['s1', 's2', 's3']
    wait_for('three servers are up', all_up)


def group_works(group):
    path = os.path.join(group.directory, 'shop.db')
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute('PRAGMA journal_mode=WAL')
    connection.execute('CREATE TABLE t(id INTEGER PRIMARY KEY)')
    group.run('db', 'add', 'shop', path, '--copies', 's2,s3', server='s1')
    connection.execute('INSERT INTO t DEFAULT VALUES')
    group.run('wait', 'shop', '--replayed', server='s1')
    connection.close()
    def no_failed_check():
        return group.run('health', server='s1', ok=False).returncode == 0
    wait_for('health has nothing to say', no_failed_check)
    # The group lives without its first server: s2 has a vote and the authority's key.
    group.stop('s1', signal.SIGKILL)
    def moved():
        result = group.run('status', 'shop', '-o', 'json', server='s2', ok=False)
        return result.returncode == 0 and json.loads(result.stdout)['databases'][0]['active'] in ('s2', 's3')
    wait_for('another server has the active copy', moved)
    group.run('client', 'certificate', 'ann', '--output', os.path.join(group.directory, 'ann.pem'), server='s3')
    group.start('s1')


def server_leaves(group):
    def only_on_s3():
        return group.run('switchover', 'shop', '--to', 's2', server='s2', ok=False).returncode == 0 or \
            group.ask('status', 'shop', server='s2')['databases'][0]['active'] == 's2'
    wait_for('the active copy is on s2', only_on_s3)
    refused = group.run('server', 'remove', 's3', server='s1', ok=False)
    check(refused.returncode == 1 and 'copies of shop' in refused.stderr, f'removed with a copy: {refused}')
    group.run('copy', 'remove', 'shop', 's3', server='s1')
    refused = group.run('server', 'remove', 's3', server='s1', ok=False)
    check(refused.returncode == 1 and 'is running' in refused.stderr, f'removed while it runs: {refused}')
    # It sees that it was removed, and ends.
    removed = group.run('server', 'remove', 's3', '--force', server='s1')
    check('etcd member was removed' in removed.stdout, f'its etcd member is still there: {removed.stdout}')
    check(group.processes.pop('s3').wait(timeout=DEADLINE) == 0, 's3 did not end well')
    outside = group.run('status', server='s1', identity=group.identity('s3'), ok=False)
    check(outside.returncode != 0, 'the removed server is let in')
    # It comes back with a token only.
    token = group.run('server', 'token', '--for', 's3', server='s1').stdout.strip()
    shutil.rmtree(group.data('s3'))
    os.remove(group.config('s3'))
    join(group, 's3', token)
    wait_for('s3 is up again', lambda: len(group.ask('server', 'list')['servers']) == 3)


def main():
    if shutil.which('etcd') is None:
        print('no etcd here')
        return 77
    with tempfile.TemporaryDirectory(prefix='understudy-joining-') as directory:
        group = Group(directory)
        begin = time.monotonic()
        def step(what):
            print(f'{time.monotonic() - begin:5.1f} s  {what}', flush=True)
        try:
            first_server(group)
            step('the first server runs alone')
            bad_tokens(group)
            step('bad tokens are refused')
            token = group.run('server', 'token', '--for', 's2', '--authority', server='s1').stdout.strip()
            join(group, 's2', token)
            used_token(group, token)
            step('the second server has joined')
            third_server(group)
            step('the third server has joined')
            group_works(group)
            step('copies, health, a lost server')
            server_leaves(group)
            step('a server was removed and came back')
        except Failed as failure:
            print('FAILED:', failure)
            group.report()
            return 1
        finally:
            for name in list(group.processes):
                group.stop(name)
    return 0


if __name__ == '__main__':
    sys.exit(main())
