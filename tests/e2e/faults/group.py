# SPDX-License-Identifier: Apache-2.0
"""A group of real daemons with real etcd members, and what can be done to its processes.

NamespaceGroup: one network namespace per server; its daemon runs its etcd member, or (etcd='own') the test does.
LabGroup: 'understudy lab', without root. Both offer start, kill, freeze, thaw, and the command as on a server.
"""

import ctypes
import json
import os
import signal
import sqlite3
import struct
import subprocess
import threading
import time

CLIENT_PORT, PEER_PORT, DAEMON_PORT = 2379, 2380, 7400
COMMAND_SECONDS = 30
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


class Failed(Exception):
    pass


def pause(seconds):
    threading.Event().wait(seconds)


def wait_until(what, holds, seconds=60):
    """Polls a condition; the deadline is what counts. `what` may be a function, for what is to be told at the end."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(f'not within {seconds} s: {what() if callable(what) else what}')
        pause(0.05)


def children(pid):
    found = []
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it has ended
    return found


def program_of(pid):
    try:
        with open(f'/proc/{pid}/comm', encoding='ascii') as file:
            return file.read().strip()
    except OSError:
        return ''


def build_clock(directory):
    source, library = os.path.join(os.path.dirname(__file__), 'clock_step.c'), os.path.join(directory, 'clock_step.so')
    subprocess.run(['cc', '-O2', '-shared', '-fPIC', '-o', library, source], check=True, timeout=120)
    return library


class Group:
    """What both kinds share. `daemon_pid(server)` is 0 while none runs."""

    def __init__(self, directory, command, servers):
        self.directory, self.command = directory, command
        self.servers = [f's{number + 1}' for number in range(servers)]
        self.frozen = set()

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def words(self, server):
        raise NotImplementedError

    def run(self, server, *arguments, seconds=COMMAND_SECONDS):
        words, environment = self.words(server)
        try:
            return subprocess.run([*words, *arguments], capture_output=True, text=True, check=False, env=environment,
                                  timeout=seconds, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(arguments, 124, '', f'the command took more than {error.timeout} s')

    def ok(self, server, *arguments, seconds=COMMAND_SECONDS):
        result = self.run(server, *arguments, seconds=seconds)
        if result.returncode != 0:
            raise Failed(f'{server}: {" ".join(arguments)}: {result.returncode}: {result.stderr}{result.stdout}')
        return result.stdout

    def ask(self, server, *arguments):
        """None: it does not answer now."""
        result = self.run(server, *arguments, '-o', 'json', seconds=10)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def ask_any(self, *arguments):
        for server in self.servers:
            if self.daemon_pid(server) and server not in self.frozen:
                answer = self.ask(server, *arguments)
                if answer is not None:
                    return answer
        return None

    def copies(self, database):
        answer = self.ask_any('status', database)
        return {copy['server']: copy for copy in answer['databases'][0]['copies']} if answer else {}

    def events(self):
        answer = self.ask_any('events', '--limit', '2000')
        return answer['events'] if answer else []

    def is_healthy(self, database):
        copies = self.copies(database)
        return len(copies) > 0 and all(copy['state'] in ('Healthy', 'Mounted') for copy in copies.values())

    def add_database(self, name, active):
        """One whose active copy is on `active` and whose file is beside that server's data; one copy on each server."""
        path = self.path(active, f'{name}.db')
        connection = sqlite3.connect(path)
        connection.execute('PRAGMA journal_mode=WAL')
        connection.execute('CREATE TABLE t(id INTEGER PRIMARY KEY, client TEXT, n INTEGER, body TEXT, UNIQUE(client, n))')
        connection.execute('CREATE TABLE other(k INTEGER PRIMARY KEY, v TEXT)')
        connection.close()
        others = [server for server in self.servers if server != active]
        self.ok(active, 'db', 'add', name, path, '--copies', ','.join(others))
        wait_until(f'the copies of {name} are healthy', lambda: self.is_healthy(name))
        return {server: copy['path'] for server, copy in self.copies(name).items()}

    def lost_databases(self, database):
        """The database files of all bundles, by bundle."""
        found = {}
        for server in self.servers:
            lost = os.path.join(self.data(server), database, 'lost')
            for bundle in sorted(os.listdir(lost)) if os.path.isdir(lost) else []:
                if not bundle.startswith('.'):
                    found[server, bundle] = os.path.join(lost, bundle, 'database.db')
        return found

    def member_pid(self, server):
        """Of the etcd member that the daemon runs; 0: none."""
        return next((pid for pid in children(self.daemon_pid(server)) if program_of(pid) == 'etcd'), 0)

    def freeze(self, server, with_member=False):
        self.frozen.add(server)
        pids = [self.daemon_pid(server)] + ([self.member_pid(server)] if with_member else [])
        for pid in filter(None, pids):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self, server):
        for pid in filter(None, (self.member_pid(server), self.daemon_pid(server))):
            os.kill(pid, signal.SIGCONT)
        self.frozen.discard(server)

    def descriptors(self):
        counts = {}
        for server in self.servers:
            pid = self.daemon_pid(server)
            if pid:
                counts[server, pid] = len(os.listdir(f'/proc/{pid}/fd'))
        return counts


class NamespaceGroup(Group):
    def __init__(self, directory, command, network, servers, *, lease=2, etcd='managed', supervise=(), clocks=()):
        super().__init__(directory, command, servers)
        self.network, self.lease, self.etcd = network, lease, etcd
        self.daemon = os.path.join(os.path.dirname(command), 'understudyd')
        self.supervise, self.clocks = set(supervise), set(clocks)  # servers
        self.clock_library = build_clock(directory) if self.clocks else ''
        self.processes, self.members = {}, {}
        for server in self.servers:
            os.makedirs(self.path(server), exist_ok=True)
            self.step_clock(server, 0)
            self._write_config(server)

    def address(self, server, port):
        return f'{self.network.addresses[server]}:{port}'

    def data(self, server):
        return self.path(server, 'data')

    def _write_config(self, server):
        endpoints = [server] + [other for other in self.servers if other != server]  # its own first
        managed = '' if self.etcd == 'own' else f'''etcd = "managed"
[coordinator.managed]
client_listen = "{self.address(server, CLIENT_PORT)}"
peer_listen = "{self.address(server, PEER_PORT)}"
[coordinator.managed.initial_cluster]
{chr(10).join(f'{other} = "{self.address(other, PEER_PORT)}"' for other in self.servers)}'''
        with open(self.path(server, 'understudyd.toml'), 'w', encoding='utf-8') as file:
            file.write(f'''[server]
name = "{server}"
data_dir = "{self.data(server)}"
listen = "{self.address(server, DAEMON_PORT)}"
[tls]
off = true
[ship]
heartbeat = "500ms"
silence_max = "3s"
retry_max = "1s"
[coordinator]
kind = "etcd"
lease = "{self.lease}s"
endpoints = {json.dumps([self.address(other, CLIENT_PORT) for other in endpoints])}
{managed}
''')

    def words(self, server):
        return [*self.network.entering(server), self.command, '--server', self.address(server, DAEMON_PORT)], None

    def step_clock(self, server, seconds):
        """Of a server whose daemon was started with a clock of its own (clock_step.c). Steady clocks go on as they are."""
        file = os.open(self.path(server, 'clock'), os.O_RDWR | os.O_CREAT, 0o644)  # it is mapped: never another file
        os.pwrite(file, struct.pack('=q', seconds * 1_000_000_000), 0)
        os.close(file)

    def _environment(self, server):
        environment = {k: v for k, v in os.environ.items() if not k.startswith('UNDERSTUDY_')}
        if server in self.clocks:
            environment.update(LD_PRELOAD=self.clock_library, CLOCK_STEP_FILE=self.path(server, 'clock'))
        return environment

    def _spawn(self, server, words, output):
        with open(self.path(server, output), 'ab') as file:
            return subprocess.Popen([*self.network.entering(server), *words], stdout=file, stderr=file,
                                    stdin=subprocess.DEVNULL, env=self._environment(server),
                                    preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))

    def start_all(self):
        for server in self.servers:
            self.start(server, wait=False)
        for server in self.servers:
            self.await_answer(server)

    def start(self, server, wait=True):
        if self.etcd == 'own' and server not in self.members:
            self.start_member(server)
        words = [self.daemon] + (['--supervise'] if server in self.supervise else [])
        self.processes[server] = self._spawn(server, [*words, '--config', self.path(server, 'understudyd.toml')], 'output.txt')
        if wait:
            self.await_answer(server)

    def await_answer(self, server):
        def answers():
            if self.processes[server].poll() is not None:
                raise Failed(f'the daemon of {server} ended: {self.output(server)}')
            return self.run(server, 'server', 'list').returncode == 0
        wait_until(lambda: f'{server} answers: {self.output(server)}', answers)

    def daemon_pid(self, server):
        process = self.processes.get(server)
        if process is None or process.poll() is not None:
            return 0
        if server not in self.supervise:
            return process.pid
        return next(iter(children(process.pid)), 0)

    def kill(self, server):
        """The daemon, at once. A supervisor stays."""
        pid = self.daemon_pid(server)
        if pid:
            os.kill(pid, signal.SIGKILL)
        if server not in self.supervise:
            self.processes.pop(server).wait(timeout=30)
        self.frozen.discard(server)

    def stop(self, server):
        process = self.processes.pop(server)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=60)

    def restart_ended(self):
        """As a service manager does: (server, exit code) of daemons that ended by themselves."""
        ended = [(server, process.poll()) for server, process in self.processes.items() if process.poll() is not None]
        for server, _ in ended:
            self.start(server, wait=False)
        return ended

    # --- members that the test runs ---

    def start_member(self, server):
        cluster = ','.join(f'{other}=http://{self.address(other, PEER_PORT)}' for other in self.servers)
        client, peer = (f'http://{self.address(server, port)}' for port in (CLIENT_PORT, PEER_PORT))
        self.members[server] = self._spawn(server, [
            'etcd', f'--name={server}', f'--data-dir={self.path(server, "etcd")}', f'--listen-client-urls={client}',
            f'--advertise-client-urls={client}', f'--listen-peer-urls={peer}', f'--initial-advertise-peer-urls={peer}',
            f'--initial-cluster={cluster}', '--initial-cluster-token=faults', '--pre-vote=true', '--logger=zap'], 'etcd.txt')

    def kill_member(self, server):
        if self.etcd == 'own':
            process = self.members.pop(server)
            process.kill()
            process.wait(timeout=30)
        elif self.member_pid(server):
            os.kill(self.member_pid(server), signal.SIGKILL)

    def etcd_address(self, server):
        return self.address(server, CLIENT_PORT)

    def enter_network(self):
        self.network.enter()

    def output(self, server, bytes_max=4000):
        try:
            with open(self.path(server, 'output.txt'), encoding='utf-8', errors='replace') as file:
                return file.read()[-bytes_max:]
        except FileNotFoundError:
            return ''

    def close(self):
        for server in list(self.frozen):
            self.thaw(server)
        for process in [*self.processes.values(), *self.members.values()]:
            process.kill()
        for process in [*self.processes.values(), *self.members.values()]:
            process.wait(timeout=30)
        self.network.close()


class LabGroup(Group):
    """Without root: a lab with its forwarder. Clients of etcd are not behind the forwarder."""

    def __init__(self, directory, command, servers, *, lease=2):
        super().__init__(directory, command, servers)
        self.lease, self.supervise = lease, set()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith('UNDERSTUDY_')}
        self.environment['UNDERSTUDY_LAB'] = self.path()

    def start_all(self):
        self.lab('up', '--servers', str(len(self.servers)), '--lease', f'{self.lease}s', '--coordinator', 'etcd')

    def lab(self, *arguments):
        return self.ok(self.servers[0], 'lab', *arguments, seconds=90)

    def words(self, server):
        return [self.command], self.environment | {'UNDERSTUDY_SERVER': server}

    def data(self, server):
        return self.path(server, 'data')

    def _rows(self):
        answer = json.loads(self.lab('status', '-o', 'json'))
        return {row['server']: row for row in answer['servers']}

    def daemon_pid(self, server):
        row = self._rows()[server]
        return 0 if row['state'] == 'dead' else row['pid']

    def start(self, server, wait=True):
        del wait  # the lab always does
        self.lab('start', server)

    def restart_ended(self):
        return []

    def kill(self, server):
        self.lab('kill', server)
        self.frozen.discard(server)

    def cut(self, a, b):
        self.lab('cut', a, b)

    def half_open(self, a, b):
        self.lab('half-open', a, b)

    def slow(self, a, b):
        self.lab('slow', a, b, '--delay', '200')

    def heal(self, a, b):
        self.lab('heal', a, b)

    def etcd_address(self, server):
        with open(self.path('etcd.json'), encoding='utf-8') as file:
            return json.load(file)[server]['client']

    def enter_network(self):
        pass

    def output(self, server, bytes_max=4000):
        with open(self.path(server, 'output.txt'), encoding='utf-8', errors='replace') as file:
            return file.read()[-bytes_max:]

    def close(self):
        for server in list(self.frozen):
            self.thaw(server)
        self.run(self.servers[0], 'lab', 'down', seconds=90)
