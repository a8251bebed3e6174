# SPDX-License-Identifier: Apache-2.0
"""Faults: each object says what it does, injects it, and heals it. Those of processes tell when a daemon was down.

`scene` is what a fault may touch: .group, .network (None without root), .workload, .downs.
"""

import os
import shutil
import subprocess
import time

from faults.checker import Down, GRACE_SECONDS, SUPERVISED_SECONDS
from faults.group import CLIENT_PORT, PEER_PORT


class Fault:
    needs_root = False

    def inject(self, scene):
        raise NotImplementedError

    def heal(self, scene):
        raise NotImplementedError


# --- the network ---

class Rules(Fault):
    """Packets that are dropped. `pairs` are (who, whom): who does not hear whom."""
    needs_root = True

    def __init__(self, what, pairs, ports=(), loss=None):
        self.what, self.pairs, self.ports, self.loss = what, list(pairs), ports, loss

    def __str__(self):
        return self.what

    def inject(self, scene):
        self.rules = [scene.network.deaf(who, whom, self.ports, self.loss) for who, whom in self.pairs]
        scene.network.add(self.rules)

    def heal(self, scene):
        scene.network.remove(self.rules)


def between(some, others):
    return [pair for a in some for b in others if a != b for pair in ((a, b), (b, a))]


def isolate(servers, victim):
    return Rules(f'isolate {victim}', between([victim], servers))


def partition(some, others):
    return Rules(f'partition {",".join(some)} | {",".join(others)}', between(some, others))


def ring(servers):
    """Each server has two neighbours and hears no other: everybody sees another majority."""
    count = len(servers)
    pairs = [(a, b) for i, a in enumerate(servers) for j, b in enumerate(servers)
             if a != b and (i - j) % count not in (1, count - 1)]
    return Rules('ring', pairs)


def bridge(some, one, others):
    """Two sides that both hear one server, but not each other."""
    return Rules(f'bridge {",".join(some)} - {one} - {",".join(others)}', between(some, others))


def deaf(servers, victim):
    return Rules(f'{victim} hears nobody', [(victim, other) for other in servers if other != victim])


def mute(servers, victim):
    return Rules(f'nobody hears {victim}', [(other, victim) for other in servers if other != victim])


def lossy(servers, probability):
    return Rules(f'{probability:.0%} of all packets are lost', [(a, b) for a in servers for b in servers if a != b],
                 loss=probability)


def without_etcd(servers, victim):
    """It reaches no member of etcd but its own, which reaches no other; daemons still talk to each other."""
    return Rules(f'{victim} is cut off from etcd', between([victim], servers), ports=(CLIENT_PORT, PEER_PORT))


def members_apart(servers, victim):
    """Its etcd member reaches no other, but all clients reach all members. The daemons talk to each other."""
    return Rules(f'the etcd member of {victim} is alone', between([victim], servers), ports=(PEER_PORT,))


class LabLink(Fault):
    """Of the lab's forwarder: `how` is cut, half_open or slow."""

    def __init__(self, how, a, b):
        self.how, self.a, self.b = how, a, b

    def __str__(self):
        return f'lab: {self.how} {self.a} {self.b}'

    def inject(self, scene):
        getattr(scene.group, self.how)(self.a, self.b)

    def heal(self, scene):
        scene.group.heal(self.a, self.b)


# --- processes ---

class Frozen(Fault):
    """SIGSTOP. Applications go on."""

    def __init__(self, server, with_member=False):
        self.server, self.with_member = server, with_member

    def __str__(self):
        return f'freeze {self.server}' + (' and its etcd member' if self.with_member else '')

    def inject(self, scene):
        self.down = Down(self.server, time.monotonic())
        scene.downs.append(self.down)
        scene.group.freeze(self.server, self.with_member)

    def heal(self, scene):
        scene.group.thaw(self.server)
        self.down.end = time.monotonic() + GRACE_SECONDS


class Killed(Fault):
    """kill -9 of the daemon, and with it of the etcd member that it runs. `machine`: applications end, too."""

    def __init__(self, server, machine=False):
        self.server, self.machine = server, machine

    def __str__(self):
        return f'kill -9 {self.server}' + (' and its applications' if self.machine else '')

    def inject(self, scene):
        if self.machine:
            scene.workload.machine(self.server, False)
        self.down = Down(self.server, time.monotonic())
        scene.downs.append(self.down)
        scene.group.kill(self.server)
        if self.server in scene.group.supervise:
            self.down.end = time.monotonic() + SUPERVISED_SECONDS

    def heal(self, scene):
        if self.server not in scene.group.supervise:
            scene.group.start(self.server, wait=False)
            self.down.end = time.monotonic() + GRACE_SECONDS
        scene.workload.machine(self.server, True)


class Stopped(Fault):
    """SIGTERM, then a start: nothing may be lost by it."""
    needs_root = True

    def __init__(self, server):
        self.server = server

    def __str__(self):
        return f'stop {self.server}'

    def inject(self, scene):
        code = scene.group.stop(self.server)
        if code != 0:
            scene.say(f'{self.server} ended with {code} after SIGTERM')

    def heal(self, scene):
        scene.group.start(self.server, wait=False)


class Switched(Fault):
    """A person moves a database, in the middle of whatever goes on. It may be refused."""

    def __init__(self, database):
        self.database = database

    def __str__(self):
        return f'switchover {self.database}'

    def inject(self, scene):
        for server in scene.group.servers:
            if scene.group.daemon_pid(server) and server not in scene.group.frozen:
                result = scene.group.run(server, 'switchover', self.database, seconds=40)
                scene.say(f'{server}: {(result.stdout + result.stderr).splitlines()[:1]}')
                return

    def heal(self, scene):
        pass


class MembersLost(Fault):
    """etcd members that the test runs are killed, and started again."""
    needs_root = True

    def __init__(self, servers):
        self.servers = servers

    def __str__(self):
        return f'etcd members of {",".join(self.servers)} are lost'

    def inject(self, scene):
        for server in self.servers:
            scene.group.kill_member(server)

    def heal(self, scene):
        for server in self.servers:
            if scene.group.etcd == 'own':
                scene.group.start_member(server)


class ClockStep(Fault):
    """The wall clock of one server jumps, and jumps back. After a jump back the daemon starts anew."""
    needs_root = True

    def __init__(self, server, seconds):
        self.server, self.seconds = server, seconds

    def __str__(self):
        return f'the clock of {self.server} jumps by {self.seconds} s'

    def inject(self, scene):
        self.step(scene, self.seconds)

    def heal(self, scene):
        self.step(scene, 0)

    def step(self, scene, seconds):
        now = time.monotonic()
        scene.downs.append(Down(self.server, now, now + GRACE_SECONDS))
        scene.group.step_clock(self.server, seconds)


class DiskFull(Fault):
    """The file system with the server's data directory has no room left."""
    needs_root = True

    def __init__(self, server):
        self.server = server

    def __str__(self):
        return f'the disk of {self.server} is full'

    def inject(self, scene):
        self.path = os.path.join(scene.group.data(self.server), 'ballast')
        with open(self.path, 'wb', buffering=0) as file:
            try:
                while file.write(b'\0' * 4096):
                    pass
            except OSError:
                pass  # that is the point

    def heal(self, scene):
        os.remove(self.path)


def mount_small_disk(path, bytes_max):
    os.makedirs(path, exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={bytes_max}', 'understudy-faults', path], check=True)


def unmount(path, keep=False):
    if keep:
        shutil.copytree(path, path + '.kept', dirs_exist_ok=True)
    subprocess.run(['umount', '-l', path], check=False, capture_output=True)
