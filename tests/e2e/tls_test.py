#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A lab with TLS: who is kept out, certificates that renew under load, moves, and a revoked client.

    tls_test.py UNDERSTUDY

Certificates live for 18 s here, so that every server renews its own while it is watched. Every wait is for a condition,
with a deadline.
"""

import hashlib
import json
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

UNDERSTUDY = os.path.abspath(sys.argv[1])
DEADLINE = 60
LIFETIME = "18s"


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


class Lab:
    def __init__(self, directory):
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith('UNDERSTUDY_')}
        self.environment |= {'HOME': directory, 'UNDERSTUDY_LAB': os.path.join(directory, 'lab')}
        self.identity = os.path.join(directory, 'lab', 'identity.pem')

    def run(self, *arguments, server='s1', identity=None, ok=True):
        identity = self.identity if identity is None else identity
        result = subprocess.run([UNDERSTUDY, *arguments], capture_output=True, text=True, timeout=120,
                                stdin=subprocess.DEVNULL, check=False,
                                env=self.environment | {'UNDERSTUDY_SERVER': server, 'UNDERSTUDY_IDENTITY': identity})
        if ok:
            check(result.returncode == 0, f'{arguments}: {result.returncode}: {result.stdout}{result.stderr}')
        return result

    def ask(self, *arguments, server='s1'):
        return json.loads(self.run(*arguments, '-o', 'json', server=server).stdout)

    def events(self, number, server='s1'):
        return [event for event in self.ask('events', server=server)['events'] if event['number'] == number]

    def status(self, server='s1'):
        return self.ask('status', 'shop', server=server)['databases'][0]

    def healthy(self, server='s1'):
        return all(copy['state'] in ('Healthy', 'Mounted') for copy in self.status(server)['copies'])

    def address(self, server):
        for each in self.ask('lab', 'status')['servers']:
            if each['server'] == server:
                host, port = each['address'].split(':')
                return host, int(port)
        raise Failed(f'no {server}')


class Writer(threading.Thread):
    """An application: one row per transaction; goes to the copy that lets itself be written."""

    def __init__(self, paths):
        super().__init__(daemon=True)
        self.paths, self.acknowledged, self.stop = paths, 0, threading.Event()

    def run(self):
        connection, at = None, 0
        while not self.stop.wait(0.005):
            try:
                if connection is None:
                    connection = sqlite3.connect(self.paths[at], timeout=0.1, isolation_level=None)
                connection.execute('INSERT INTO t DEFAULT VALUES')
                self.acknowledged += 1
            except sqlite3.Error:
                if connection is not None:
                    connection.close()
                connection, at = None, (at + 1) % len(self.paths)
        if connection is not None:
            connection.close()

    def finish(self):
        self.stop.set()
        self.join(DEADLINE)


def bytes_without_certificate(address):
    """What a TLS client without a certificate is sent after the handshake, before it is thrown out."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(['h2'])
    with socket.create_connection(address, timeout=DEADLINE) as plain:
        try:
            with context.wrap_socket(plain, server_hostname='server.understudy') as secure:
                secure.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes(9))
                return secure.recv(1000)
        except (ssl.SSLError, ConnectionError):
            return b''


def bytes_without_tls(address):
    with socket.create_connection(address, timeout=DEADLINE) as plain:
        plain.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0')
        answer = b''
        try:
            while piece := plain.recv(1000):
                answer += piece
        except ConnectionError:
            pass
        return answer


def strangers_get_nothing(lab, directory):
    address = lab.address('s1')
    check(bytes_without_certificate(address) == b'', 'a client without a certificate was sent something')
    answer = bytes_without_tls(address)
    check(answer == b'' or answer[0] == 0x15, f'a client without TLS was sent {answer!r}')  # 0x15: an alert

    check(lab.run('status', identity='', ok=False).returncode == 3, 'the command got in without a certificate')

    # An authority of the same name is another one.
    other = os.path.join(directory, 'other')
    lab.run('group', 'init', '--name', 'lab', '--config', other + '.toml', '--server-name', 's2',
            '--data-dir', other, '--listen', '127.0.0.1:7400')
    refused = lab.run('status', identity=os.path.join(other, '.tls', 'server.pem'), ok=False)
    check(refused.returncode == 3, f'a certificate of another authority was let in: {refused}')

    # A revoked client: no new connection, and the one that it has is cut.
    ann = os.path.join(directory, 'ann.pem')
    lab.run('client', 'certificate', 'ann', '--output', ann)
    check(os.stat(ann).st_mode & 0o777 == 0o600, 'the key of ann can be read by others')
    check(lab.run('status', identity=ann).returncode == 0, 'ann was not let in')
    follow = subprocess.Popen([UNDERSTUDY, 'events', '--follow'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=lab.environment | {'UNDERSTUDY_SERVER': 's1', 'UNDERSTUDY_IDENTITY': ann})
    follow.stdout.readline()
    lab.run('client', 'revoke', 'ann')
    follow.communicate(timeout=DEADLINE)
    for server in ('s1', 's2', 's3'):
        wait_for(f'{server} knows that ann is revoked',
                 lambda server=server: lab.run('status', server=server, identity=ann, ok=False).returncode != 0)
    again = lab.run('client', 'revoke', 'ann', ok=False)
    check(again.returncode == 1, f'ann was revoked twice: {again}')
    # A client is no server, whatever it is called.
    false_s2 = os.path.join(directory, 's2.pem')
    lab.run('client', 'certificate', 's2', '--output', false_s2)
    check(lab.run('status', identity=false_s2).returncode == 0, 'client s2 was not let in')
    print('strangers, other authorities and the revoked get nothing')


def roles_are_held(lab, directory):
    viewer, operator = (os.path.join(directory, f'{role}.pem') for role in ('viewer', 'operator'))
    lab.run('client', 'certificate', 'vic', '--role', 'viewer', '--output', viewer)
    lab.run('client', 'certificate', 'oscar', '--role', 'operator', '--output', operator)
    told = ' '.join(event['message'] for event in lab.events(2072))
    check('client vic with the role viewer' in told and 'client oscar with the role operator' in told, f'events say {told}')
    for server in ('s1', 's2', 's3'):
        lab.run('status', server=server, identity=viewer)
        refused = lab.run('switchover', 'shop', '--to', 's2', server=server, identity=viewer, ok=False)
        check(refused.returncode != 0 and 'client vic has the role viewer' in refused.stderr, f'a viewer moved shop: {refused}')
    check(lab.status()['active'] == 's1', 'a viewer moved shop')
    lab.run('copy', 'suspend', 'shop', 's3', identity=operator)
    lab.run('copy', 'resume', 'shop', 's3', identity=operator)
    refused = lab.run('db', 'remove', 'shop', identity=operator, ok=False)
    check(refused.returncode != 0 and 'needs admin' in refused.stderr, f'an operator removed shop: {refused}')
    # Nobody gets more than they have; the own certificate is renewed with the same role.
    more = os.path.join(directory, 'more.pem')
    for name, role in (('oscar', 'admin'), ('eve', 'viewer')):
        refused = lab.run('client', 'certificate', name, '--role', role, '--output', more, identity=operator, ok=False)
        check(refused.returncode != 0 and not os.path.exists(more), f'an operator made an identity: {refused}')
    lab.run('client', 'certificate', 'oscar', '--output', more, identity=operator)
    check('needs admin' in lab.run('db', 'remove', 'shop', identity=more, ok=False).stderr, 'renewal gave more rights')
    wait_for('all copies are healthy again', lab.healthy)
    output = os.path.join(lab.directory, 'lab', 's1', 'output.txt')
    with open(output, errors='replace') as file:
        told = [line for line in file if ' audit ' in line]
    check(any('SuspendCopy' in line and 'client oscar' in line and 'database=shop' in line and 'result=ok' in line for line in told)
          and any('refused Switchover' in line and 'client vic' in line for line in told), f'the audit says {told}')
    print('roles are held')


def code_of(address, path, token=None):
    request = urllib.request.Request(f'http://{address}{path}')
    if token is not None:
        request.add_header('Authorization', f'Bearer {token}')
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def web_needs_a_token(lab):
    web = {each['server']: each['web'] for each in lab.ask('lab', 'status')['servers']}
    def allow(*lines):
        for server in web:
            path = os.path.join(lab.directory, 'lab', server, 'data', '.web_tokens')
            with open(path + '.new', 'w') as file:
                file.write(''.join(line + '\n' for line in lines))
            os.rename(path + '.new', path)
    def line(name, token, *expires):
        return ' '.join((name, hashlib.sha256(token.encode()).hexdigest(), *expires))
    for address in web.values():
        check(code_of(address, '/metrics') == 200, 'without a token file the port is not open')
    allow(line('prometheus', 'right'), line('ann', 'gone'), line('old', 'expired', '2020-01-01T00:00:00Z'))
    for server, address in web.items():
        wait_for(f'{server} asks for a token', lambda address=address: code_of(address, '/metrics') == 401)
        for path in ('/', '/api/v1/state', '/cluster', '/db/shop/status'):
            check(code_of(address, path) == 401, f'{path} is open')
            check(code_of(address, path, 'wrong') == 401 and code_of(address, path, 'expired') == 401, f'{path} takes any token')
            check(code_of(address, path, 'right') == 200 and code_of(address, path, 'gone') == 200, f'{path} takes no token')
        check(code_of(address, '/liveness') == 200 and code_of(address, '/db/shop/primary') in (200, 503), 'health is not open')
    allow(line('prometheus', 'right'))
    for server, address in web.items():
        wait_for(f'{server} has let go of a token', lambda address=address: code_of(address, '/metrics', 'gone') == 401)
        check(code_of(address, '/metrics', 'right') == 200, 'the other token is gone too')
    print('the web port needs a token')


def certificates_renew_under_load(lab, writer):
    before = writer.acknowledged
    def renewed():
        return {event['server'] for event in lab.events(2073)} == {'s1', 's2', 's3'}
    wait_for('every server has renewed its certificate', renewed)
    check(writer.acknowledged > before, 'the writer stood still')
    # Connections made now use the new certificates; those of before go on.
    lab.run('wait', 'shop', '--replayed')
    lost = lab.events(2153)
    check(not lost, f'a connection was lost: {lost}')
    check(not lab.events(2074), 'a renewal failed')
    certificates = [c for c in lab.ask('group', 'certificates')['certificates'] if c['kind'] == 'server']
    check(len(certificates) >= 4, f'too few certificates: {certificates}')
    print(f'certificates were renewed under load; {writer.acknowledged - before} commits meanwhile')


def active_copy_moves(lab, writer):
    lab.run('switchover', 'shop', '--to', 's2')
    wait_for('all copies are healthy after the switchover', lab.healthy)
    moved = writer.acknowledged
    wait_for('the writer goes on at s2', lambda: writer.acknowledged > moved)
    lab.run('lab', 'kill', 's2')
    wait_for('another server has the active copy', lambda: lab.status()['active'] in ('s1', 's3'))
    moved = writer.acknowledged
    wait_for('the writer goes on', lambda: writer.acknowledged > moved)
    print('switchover and failover')


def server_is_removed(lab):
    refused = lab.run('server', 'remove', 's2', ok=False)
    check(refused.returncode == 1 and 'copies of shop' in refused.stderr, f'removed with a copy: {refused}')
    removed = lab.run('server', 'remove', 's2', '--force')
    check('shop' in removed.stdout, f'the copy is not named: {removed.stdout}')
    names = [server['name'] for server in lab.ask('server', 'list')['servers']]
    check(names == ['s1', 's3'], f'the group has {names}')
    s2 = os.path.join(lab.directory, 'lab', 's2', 'data', '.tls', 'server.pem')
    for server in ('s1', 's3'):
        wait_for(f'{server} lets s2 in no longer',
                 lambda server=server: lab.run('status', server=server, identity=s2, ok=False).returncode != 0)
    check(lab.run('lab', 'start', 's2', ok=False).returncode != 0, 'the removed server starts')
    print('a removed server is out')


def main():
    with tempfile.TemporaryDirectory(prefix='understudy-tls-') as directory:
        lab = Lab(directory)
        path = os.path.join(directory, 'shop.db')
        begin = time.monotonic()
        lab.run('lab', 'up', '--servers', '3', '--lease', '2s', '--tls', '--certificate-lifetime', LIFETIME, identity='')
        try:
            with sqlite3.connect(path) as connection:
                connection.execute('PRAGMA journal_mode=WAL')
                connection.execute('CREATE TABLE t(id INTEGER PRIMARY KEY)')
            connection.close()
            lab.run('db', 'add', 'shop', path, '--copies', 's2,s3')
            wait_for('all copies are healthy', lab.healthy)
            copies = [os.path.join(directory, 'lab', s, 'data', 'shop', 'shop.db') for s in ('s2', 's3')]
            writer = Writer([path, *copies])
            writer.start()
            try:
                strangers_get_nothing(lab, directory)
                roles_are_held(lab, directory)
                web_needs_a_token(lab)
                certificates_renew_under_load(lab, writer)
                active_copy_moves(lab, writer)
            finally:
                writer.finish()
            server_is_removed(lab)
            print(f'all in {time.monotonic() - begin:.0f} s')
        except Failed as failure:
            print('FAILED:', failure)
            for server in ('s1', 's2', 's3'):
                with open(os.path.join(directory, 'lab', server, 'output.txt'), errors='replace') as file:
                    print(f'--- {server} ---\n{file.read()[-3000:]}')
            return 1
        finally:
            lab.run('lab', 'down', identity='', ok=False)
    return 0


if __name__ == '__main__':
    sys.exit(main())
