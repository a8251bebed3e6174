#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the servers of a lab answer to load balancers, and HAProxy routing an application by it.

    routing_test.py UNDERSTUDY HAPROXY_CFG

  1. every endpoint: codes for GET, HEAD, OPTIONS and others, on the active copy, a passive one and none;
  2. suspended, too far behind, cut off, and with the coordinator's file locked: the right code, at once;
  3. HAProxy with the example's configuration in front of an instance beside each copy: writes go to the active copy's,
     reads to those of passive copies;
  4. the active copy's server is killed: after the failover writes go to the instance beside the new active copy, which
     has all that was acknowledged before; the killed server returns as a replica, and a switchover brings writes back.

Exit code 77 where there is no haproxy.
"""

import http.client
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE = 60
# The lease ends (6 s), the manager sees it, asks and decides, the copy is mounted, HAProxy asks twice. A busy machine is
# slower by far than the few seconds that this takes beyond the lease.
FAILOVER = 40
AT_ONCE = 0.1  # seconds for an answer; a machine that is busy with something else may be later now and then
HAPROXY = shutil.which('haproxy') or shutil.which('haproxy', path='/usr/sbin:/usr/local/sbin')


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


def request(address, method, path, body=None, timeout=10):
    """Code and body, or None and the error where there is no answer."""
    connection = http.client.HTTPConnection(*address.split(':'), timeout=timeout)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return None, str(error)
    finally:
        connection.close()


class Lab:
    def __init__(self, directory, command):
        self.command, self.directory = command, os.path.join(directory, 'lab')
        self.run('lab', 'up', '--servers', '3')
        status = json.loads(self.run('lab', 'status', '-o', 'json'))
        self.web = {row['server']: row['web'] for row in status['servers']}

    def run(self, *arguments):
        environment = {**os.environ, 'UNDERSTUDY_LAB': self.directory, 'UNDERSTUDY_SERVER': 's2'}
        result = subprocess.run([self.command, *arguments], capture_output=True, text=True, check=False,
                                timeout=DEADLINE + 30, env=environment)
        check(result.returncode == 0, f'{arguments}: {result.returncode}: {result.stderr}')
        return result.stdout

    def get(self, server, path):
        return request(self.web[server], 'GET', path)

    def code(self, server, path):
        return self.get(server, path)[0]

    def is_yes(self, server, path):
        wait_for(f'{path} of {server} is yes', lambda: self.code(server, path) == 200)

    def is_no(self, server, path):
        wait_for(f'{path} of {server} is no', lambda: self.code(server, path) == 503)

    def copy_path(self, server, database='orders'):
        return json.loads(self.get(server, f'/db/{database}/status')[1])['path']

    def close(self):
        subprocess.run([self.command, 'lab', 'down', '--dir', self.directory], capture_output=True, check=False,
                       timeout=DEADLINE)


def make_database(path):
    connection = sqlite3.connect(path)
    connection.execute('PRAGMA journal_mode=WAL')
    connection.execute('CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)')
    connection.commit()
    connection.close()


def commit(path, count, size=20):
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    for _ in range(count):
        connection.execute('INSERT INTO orders(item) VALUES (?)', (os.urandom(size).hex(),))
    connection.close()


# --- what is answered ---

#        path                  active  passive  none
CODES = [('', 200, 503, 503),
         ('/primary', 200, 503, 503),
         ('/read-write', 200, 503, 503),
         ('/leader', 200, 503, 503),
         ('/master', 200, 503, 503),
         ('/replica', 503, 200, 503),
         ('/replica?lag=1000', 503, 200, 503),
         ('/asynchronous', 503, 200, 503),
         ('/async', 503, 200, 503),
         ('/read-only', 200, 200, 503),
         ('/read-only?lag=10s', 200, 200, 503),
         ('/health', 200, 200, 503),
         ('/liveness', 200, 200, 200),
         ('/readiness', 200, 200, 503),
         ('/readiness?lag=10s&mode=write', 200, 200, 503),
         ('/status', 200, 200, 200),
         ('/cluster', 200, 200, 200),
         ('/history', 200, 200, 200),
         ('/replica?lag=10MB', 400, 400, 400),
         ('/primary?lag=1', 400, 400, 400),
         ('/secondary', 404, 404, 404)]


def every_endpoint(lab):
    expected = [(server, '/db/mail' + path, code) for path, *codes in CODES
                for server, code in zip(('s1', 's2', 's3'), codes)]
    for server in ('s1', 's2', 's3'):
        expected += [(server, path, 200) for path in
                     ('/health', '/liveness', '/readiness', '/cluster', '/databases')]
        expected += [(server, path, 404) for path in ('/nothing', '/db', '/db/nothing/primary', '/metrics/all')]
        code, body = request(lab.web[server], 'GET', '/metrics')
        check(code == 200 and '\nunderstudy_database_term{database="mail"} ' in body, f'/metrics of {server}: {code}: {body}')
    for server, path, code in expected:
        for method in ('GET', 'HEAD', 'OPTIONS'):
            got, body = request(lab.web[server], method, path)
            check(got == code, f'{method} {path} of {server}: {got}, not {code}: {body}')
            if method == 'GET':
                json.loads(body)
            else:
                check(body == '', f'{method} {path} has a body: {body}')
        for method in ('POST', 'PUT', 'DELETE', 'PATCH'):
            got, body = request(lab.web[server], method, path, body='x' * 100)
            check(got == 405, f'{method} {path} of {server}: {got}: {body}')
    rows = json.loads(lab.run('server', 'list', '-o', 'json'))['servers']
    check({row['name']: row['web'] for row in rows} == lab.web, f'servers: {rows}')
    group = json.loads(lab.get('s2', '/db/mail/cluster')[1])
    check((group['dial'], group['paused'], group['members'][1]['activation_suspended']) == ('good', False, False),
          f'the group: {group}')
    body = json.loads(lab.get('s2', '/db/mail/primary')[1])
    check(body['answer'] == 'no' and 'passive' in body['why'] and body['active'] == 's1', f'why not: {body}')
    wait_for('s3 knows every copy and its address', lambda: [
        (m['name'], m['role'], m.get('api_url')) for m in json.loads(lab.get('s3', '/db/mail/cluster')[1])['members']] ==
        [('s1', 'active', 'http://' + lab.web['s1']), ('s2', 'passive', 'http://' + lab.web['s2'])])
    history = json.loads(lab.get('s3', '/db/mail/history')[1])
    check(history[-1][4] == 's1', f'history: {history}')


def like_haproxy(lab):
    """As HAProxy checks: HTTP/1.0, the status line is enough, then it closes."""
    host, port = lab.web['s1'].split(':')
    for line in (b'OPTIONS /db/mail HTTP/1.0\r\n\r\n', b'HEAD /db/mail/primary HTTP/1.0\r\n\r\n'):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(line)
            answer = b''
            while data := connection.recv(4096):  # to the end: the server closes, and not by a reset
                answer += data
            check(answer.startswith(b'HTTP/1.1 200 '), f'{line}: {answer}')


# --- when something is wrong ---

def suspended(lab):
    lab.run('copy', 'suspend', 'orders', 's2', '--reason', 'test')
    lab.is_no('s2', '/db/orders/replica')
    check(lab.code('s2', '/db/orders/read-only') == 503, 'a suspended copy takes reads')
    check(lab.code('s2', '/db/orders/health') == 200, 'a suspended copy cannot be read')
    lab.run('copy', 'resume', 'orders', 's2')
    lab.is_yes('s2', '/db/orders/replica?lag=10s')


def copied(lab, server):
    return json.loads(lab.get(server, '/db/orders/status')[1])['copied']['seq']


def too_far_behind(lab, source):
    lab.is_yes('s3', '/db/orders/replica?lag=10s')  # it has heard of the active copy
    lab.run('lab', 'slow', 's1', 's3', '--rate', '20KiB')
    commit(source, 300, 2000)
    lab.is_no('s3', '/db/orders/replica?lag=5')
    lab.is_no('s3', '/db/orders/replica?lag=100ms')
    lab.is_yes('s3', '/db/orders/replica?lag=1000000')
    lab.is_yes('s3', '/db/orders/replica?lag=10m')
    # A slow link is not a lost one: the copy goes on, over one connection.
    at = copied(lab, 's3')
    wait_for('the slow copy goes on', lambda: copied(lab, 's3') >= min(at + 20, 301))
    events = json.loads(lab.run('events', '-o', 'json'))['events']
    check(not any(e['number'] == 2153 for e in events), f'a slow link counts as lost: {events[-5:]}')
    check(lab.code('s2', '/db/orders/replica?lag=5s') == 200, 'the other copy is not behind')
    lab.run('lab', 'heal', 's1', 's3')
    lab.is_yes('s3', '/db/orders/replica?lag=0')
    lab.is_yes('s3', '/db/orders/replica?lag=500ms')


def cut_off(lab, source):
    lab.run('lab', 'cut', 's1', 's3')
    lab.is_no('s3', '/db/orders/replica?lag=100')  # what it lacks is not known
    lab.is_no('s3', '/db/orders/replica?lag=500ms')
    for path in ('replica', 'replica?lag=10m', 'health'):
        check(lab.code('s3', '/db/orders/' + path) == 200, f'a copy that is cut off is not {path}')
    check(lab.code('s1', '/db/orders/primary') == 200, 'the active copy is not primary')
    commit(source, 10)
    lab.run('lab', 'heal', 's1', 's3')
    lab.is_yes('s3', '/db/orders/replica?lag=0')


def primary(lab):
    """The one server that says that it is, or None."""
    yes = [server for server in lab.web if lab.code(server, '/db/orders/primary') == 200]
    check(len(yes) <= 1, f'{yes} say that they are primary')
    return yes[0] if yes else None


def coordinator_away(lab, source):
    """Its file is locked, so that every daemon waits in it; answers come all the same."""
    connection = sqlite3.connect(os.path.join(lab.directory, 'group', 'cluster.db'), timeout=20, isolation_level=None)
    connection.execute('BEGIN IMMEDIATE')
    check(lab.code('s1', '/db/orders/primary') == 200, 'a locked coordinator ends the mount at once')
    for server in ('s1', 's2', 's3'):
        lab.is_no(server, '/readiness')  # for a lease already
    fixed = [('s1', '/liveness', 200), ('s1', '/db/orders/read-only', 503), ('s1', '/db/orders/primary', 503),
             ('s2', '/db/orders/replica', 200), ('s2', '/db/orders/primary', 503), ('s3', '/cluster', 200),
             ('s2', '/db/orders/replica?lag=10m', 200), ('s2', '/db/orders/replica?lag=2s', 503),
             ('s3', '/readiness', 503), ('s2', '/db/orders/history', 200), ('s2', '/db/orders/status', 200)]
    for server, path, code in fixed:
        times = []
        for _ in range(10):
            begin = time.monotonic()
            got, _ = lab.get(server, path)
            times.append(time.monotonic() - begin)
            check(got == code, f'{path} of {server} with the coordinator away: {got}')
        check(sorted(times)[len(times) // 2] < AT_ONCE, f'{path} of {server} took {times} s')
    try:
        commit(source, 1)
        raise Failed('a copy whose server has no lease was written')
    except sqlite3.OperationalError as error:
        check('readonly' in str(error), f'a copy whose server has no lease: {error}')
    connection.execute('ROLLBACK')
    connection.close()
    for server in ('s1', 's2', 's3'):
        lab.is_yes(server, '/readiness')
    # Whose lease is renewed first decides which copy is mounted.
    wait_for('somebody is primary', lambda: primary(lab) is not None)
    if primary(lab) != 's1':
        lab.is_yes('s1', '/db/orders/replica?lag=1s')
        lab.run('switchover', 'orders', '--to', 's1')
    lab.is_yes('s1', '/db/orders/primary')
    lab.is_yes('s2', '/db/orders/replica?lag=1s')
    lab.is_yes('s3', '/db/orders/replica?lag=1s')


# --- HAProxy ---

class Routed:
    """An instance of the application beside each copy, and HAProxy in front."""

    def __init__(self, lab, directory, example):
        self.lab, self.processes = lab, []
        app = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'routing_app.py')
        ports = {}
        for server in lab.web:
            process = self.start([sys.executable, app, lab.copy_path(server), server], stdout=subprocess.PIPE, text=True)
            ports[server] = process.stdout.readline().strip()
            check(ports[server], f'the instance beside {server} has no port')
        self.front = dict(zip((5000, 5001), free_ports(2)))
        with open(example) as file:
            text = file.read()
        for fixed, port in self.front.items():
            text, count = re.subn(rf'bind \*:{fixed}\b', f'bind 127.0.0.1:{port}', text)
            check(count == 1, f'the example does not listen on {fixed}')
        for server in lab.web:
            web = lab.web[server].split(':')[1]
            text, count = re.subn(rf'server {server} \S+', f'server {server} 127.0.0.1:{ports[server]} port {web}', text)
            check(count == 2, f'the example has {server} {count} times')
        path = os.path.join(directory, 'haproxy.cfg')
        with open(path, 'w') as file:
            file.write(text)
        checked = subprocess.run([HAPROXY, '-c', '-f', path], capture_output=True, text=True, check=False)
        check(checked.returncode == 0, f'HAProxy refuses the configuration: {checked.stderr}')
        self.start([HAPROXY, '-db', '-f', path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self, command, **options):
        self.processes.append(subprocess.Popen(command, **options))
        return self.processes[-1]

    def ask(self, method, port, item='an order'):
        """The server whose instance answered, or None."""
        code, body = request(f'127.0.0.1:{self.front[port]}', method, '/', item if method == 'POST' else None)
        return body.split()[0] if code == 200 else None

    def write(self, item='an order'):
        return self.ask('POST', 5000, item)

    def readers(self):
        return {self.ask('GET', 5001) for _ in range(12)}

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


def free_ports(count):
    sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def routes(routed):
    wait_for('writes go to s1', lambda: routed.write() == 's1')
    wait_for('reads go to s2 and s3', lambda: routed.readers() == {'s2', 's3'})
    check({routed.write() for _ in range(20)} == {'s1'}, 'a write did not go to the active copy')
    code, body = request(f'127.0.0.1:{routed.front[5001]}', 'POST', '/', 'an order')
    check(code == 500 and 'readonly' in body, f'a passive copy was written: {code} {body}')


def items(path):
    connection = sqlite3.connect(path, timeout=20)
    try:
        return {row[0] for row in connection.execute('SELECT item FROM orders')}
    finally:
        connection.close()


def active_dies(lab, routed):
    """The server that takes over."""
    acknowledged = [f'before {i}' for i in range(200)]
    for item in acknowledged:
        check(routed.write(item) == 's1', f'{item} did not go to s1')
    lab.run('wait', 'orders', '--timeout', '30s')  # until every copy has them: shipping is asynchronous
    killed = time.monotonic()
    lab.run('lab', 'kill', 's1')
    wait_for('another copy gets writes', lambda: routed.write('after') in ('s2', 's3'), FAILOVER)
    took = time.monotonic() - killed
    active = primary(lab)
    check(active in ('s2', 's3'), f'{active} says that it is primary')
    check({routed.write(f'after {i}') for i in range(20)} == {active}, 'a write did not go to the new active copy')
    missing = {*acknowledged, 'after', *(f'after {i}' for i in range(20))} - items(lab.copy_path(active))
    check(not missing, f'{active} lacks {sorted(missing)}')
    history = json.loads(lab.get(active, '/db/orders/history')[1])
    check([history[-1][2], history[-1][4]] == ['failover', active], f'history: {history}')
    print(f'writes went to {active} {took:.1f} s after s1 was killed')
    return active


def killed_one_returns(lab, routed, active):
    lab.run('lab', 'start', 's1')
    lab.is_yes('s1', '/db/orders/replica?lag=1s')
    check(lab.code('s1', '/db/orders/primary') == 503, 's1 says that it is primary')
    readers = set(lab.web) - {active}
    wait_for(f'reads go to {readers}', lambda: routed.readers() == readers)
    check({routed.write(f'later {i}') for i in range(5)} == {active}, 'a write did not go to the active copy')
    # What s1's instance wrote between the kill and its being taken out is in no other copy, and not in its own any more.
    same = lambda: items(lab.copy_path('s1')) == items(lab.copy_path(active))
    wait_for('s1 has what the active copy has', same)


def switchover(lab, routed, active):
    lab.run('switchover', 'orders', '--to', 's1')
    wait_for('s1 gets writes again', lambda: routed.write() == 's1')
    check(primary(lab) == 's1', f'{primary(lab)} says that it is primary')
    wait_for('reads go to the others', lambda: routed.readers() == {'s2', 's3'})
    members = json.loads(lab.get('s2', '/db/orders/cluster')[1])['members']
    check({m['name']: m['role'] for m in members}[active] == 'passive', f'members: {members}')


def main():
    if HAPROXY is None:
        print('there is no haproxy here')
        return 77
    directory = tempfile.mkdtemp(prefix='understudy-routing-')
    lab = routed = None
    try:
        lab = Lab(directory, os.path.abspath(sys.argv[1]))
        orders, mail = os.path.join(directory, 'orders.db'), os.path.join(directory, 'mail.db')
        for path in (orders, mail):
            make_database(path)
        lab.run('--server', 's1', 'db', 'add', 'mail', mail, '--copies', 's2')
        lab.run('--server', 's1', 'db', 'add', 'orders', orders, '--copies', 's2,s3')
        for server in ('s2', 's3'):
            lab.is_yes(server, '/db/orders/replica?lag=0')
        lab.is_yes('s2', '/db/mail/replica?lag=0')
        lab.is_no('s3', '/db/mail/replica')  # once it has heard of it

        every_endpoint(lab)
        like_haproxy(lab)
        suspended(lab)
        too_far_behind(lab, orders)
        cut_off(lab, orders)
        coordinator_away(lab, orders)
        routed = Routed(lab, directory, sys.argv[2])
        routes(routed)
        active = active_dies(lab, routed)
        killed_one_returns(lab, routed, active)
        switchover(lab, routed, active)
        print('every question was answered, and every request went where it belongs')
    except Failed as failure:
        print('FAILED:', failure)
        for server in lab.web if lab else ():
            print(f'--- {server} ---', *lab.get(server, '/health'), sep='\n')
        return 1
    finally:
        if routed is not None:
            routed.close()
        if lab is not None:
            lab.close()
        if '--keep' not in sys.argv:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
