# SPDX-License-Identifier: Apache-2.0
"""One network namespace per server, and one with a bridge that joins them. Needs root.

Names of namespaces are unique, ours alone, and carry the process id of the test: what a test left that was killed is
removed by the next one. Interfaces are made inside the namespaces only. Addresses are 10.77.0.N. A remote site is a server
whose way to the bridge leads through a namespace with a device (device.py).
"""

import ctypes
import os
import shutil
import subprocess
import threading

from faults.device import Device

PREFIX = 'understudy-faults-'
PROGRAMS = ('ip', 'iptables', 'nsenter')
CLONE_NEWNET = 0x40000000


def why_not():
    """Why there can be no namespaces here; '' if there can."""
    if os.geteuid() != 0:
        return 'network namespaces need root'
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f'{", ".join(missing)} not found (tools/install-deps installs iptables and iproute2)'
    probe = f'{PREFIX}{os.getpid()}-probe'
    try:
        run('ip', 'netns', 'add', probe)
        run(*entering(probe), 'iptables', '-A', 'INPUT', '-s', '10.77.0.1', '-j', 'DROP')
    except subprocess.CalledProcessError as error:
        return f'no namespaces with iptables here: {error.stderr.strip()}'
    finally:
        subprocess.run(['ip', 'netns', 'del', probe], capture_output=True, check=False)
    return ''


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def entering(namespace):
    return ('nsenter', f'--net=/run/netns/{namespace}')


def remove_leftovers():
    """Of tests that do not run any more."""
    for line in run('ip', 'netns', 'list').splitlines():
        name = line.split()[0] if line.strip() else ''
        if not name.startswith(PREFIX):
            continue
        pid = name[len(PREFIX):].split('-')[0]
        if not os.path.exists(f'/proc/{pid}'):
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True, check=False)


class Network:
    def __init__(self, servers, remote=''):
        """`remote`: the server behind the device; '': there is none."""
        remove_leftovers()
        self.addresses = {server: f'10.77.0.{number + 1}' for number, server in enumerate(servers)}
        self.made, self.remote, self.device = [], remote, None
        try:
            self._make(servers)
            if remote:
                self.device = Device(lambda: self._enter('device'), ('inside', 'outside'))
        except BaseException:
            self.close()
            raise

    def _make(self, servers):
        switch = self._namespace('switch')
        inside = entering(switch)
        run(*inside, 'ip', 'link', 'add', 'bridge', 'type', 'bridge')
        run(*inside, 'ip', 'addr', 'add', '10.77.0.254/24', 'dev', 'bridge')
        run(*inside, 'ip', 'link', 'set', 'bridge', 'up')
        if self.remote:
            device = self._namespace('device')
            run('ip', 'link', 'add', self.remote, 'netns', switch, 'type', 'veth', 'peer', 'name', 'inside', 'netns', device)
            run(*inside, 'ip', 'link', 'set', self.remote, 'master', 'bridge', 'up')
            run(*entering(device), 'ip', 'link', 'set', 'inside', 'up')
        for server in servers:
            own = self._namespace(server)
            if server == self.remote:
                run('ip', 'link', 'add', 'outside', 'netns', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', own)
                run(*entering(device), 'ip', 'link', 'set', 'outside', 'up')
            else:
                run('ip', 'link', 'add', server, 'netns', switch, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', own)
                run(*inside, 'ip', 'link', 'set', server, 'master', 'bridge', 'up')
            run(*entering(own), 'ip', 'addr', 'add', self.addresses[server] + '/24', 'dev', 'eth0')
            run(*entering(own), 'ip', 'link', 'set', 'lo', 'up')
            run(*entering(own), 'ip', 'link', 'set', 'eth0', 'up')

    def _name(self, server):
        return f'{PREFIX}{os.getpid()}-{server}'

    def _namespace(self, server):
        run('ip', 'netns', 'add', self._name(server))
        self.made.append(server)
        return self._name(server)

    def close(self):
        """After the processes in them have ended."""
        if self.device is not None:
            self.device.close()
        for server in reversed(self.made):
            subprocess.run(['ip', 'netns', 'del', self._name(server)], capture_output=True, check=False)
        self.made = []

    def entering(self, server):
        """What a command begins with that runs on `server`."""
        return entering(self._name(server))

    def enter(self):
        """This thread's sockets are the switch's from now on: all servers are reached, whatever is cut between them."""
        self._enter('switch')

    def _enter(self, name):
        assert threading.current_thread() is not threading.main_thread()
        with open(f'/run/netns/{self._name(name)}', 'rb') as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), 'setns')

    # --- rules: each is a list of words after -A or -D ---

    def _rule(self, how, server, rule):
        run(*self.entering(server), 'iptables', '-w', how, *rule)

    def add(self, rules):
        for server, rule in rules:
            self._rule('-A', server, rule)

    def remove(self, rules):
        for server, rule in rules:
            self._rule('-D', server, rule)

    def deaf(self, server, source, ports=(), loss=None):
        """`server` does not hear `source`: (server, rule) for add and remove."""
        rule = ['INPUT', '-s', self.addresses[source]]
        if ports:
            rule += ['-p', 'tcp', '-m', 'multiport', '--ports', ','.join(map(str, ports))]
        if loss is not None:
            rule += ['-m', 'statistic', '--mode', 'random', '--probability', str(loss)]
        return server, rule + ['-j', 'DROP']
