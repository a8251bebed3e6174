#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hooks of real daemons: a veto, a mount, a dismount, one that hangs, moves; and the script for systemd.

    hooks_test.py UNDERSTUDY UNDERSTUDYD
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading

from cluster_test import Failed, Group, check, wait_for


class HookedGroup(Group):
    """Servers whose hooks write down what they were told."""
    timeout = '20s'

    def config(self, name, listen):
        path = super().config(name, listen)
        with open(path, 'a') as file:
            file.write('[hooks]\n')
            for hook in ('pre_mount', 'post_mount', 'pre_dismount', 'post_dismount'):
                file.write(f'{hook} = ["/bin/sh", "{self.path("hook.sh")}", "{hook}"]\n')
            file.write(f'timeout = "{self.timeout}"\n')
        return path

    def set_script(self, text):
        with open(self.path('hook.sh'), 'w') as file:
            file.write(text)

    def told(self):
        if not os.path.exists(self.path('told')):
            return []
        with open(self.path('told')) as file:
            return [line.split() for line in file]

    def forget(self):
        if os.path.exists(self.path('told')):
            os.remove(self.path('told'))

    def expect(self, what, *expected):
        """Each is a hook, a server and a reason; those of two servers are in no order."""
        expected = sorted(tuple(words.split()) for words in expected)
        told = lambda: [(t[0], t[2], t[5]) for t in self.told()]
        try:
            wait_for(what, lambda: sorted(told()) == expected)
        except Failed as failure:
            raise Failed(f'{failure}: {told()}') from failure
        self.forget()

    def is_mounted(self, name):
        copy = self.copy(name, server=name)
        return copy['role'] == 'active' and copy['state'] == 'Mounted'

    def active_and_other(self):
        return ('s1', 's2') if self.is_mounted('s1') else ('s2', 's1')


def systemd_targets(group):
    """What the script for systemd asks of systemctl, which need not be there."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../packaging/hooks/systemd-targets')
    for name, text in (('systemctl', 'echo "$@" >> "$ASKED"'),
                       ('systemd-escape', 'test "$1" = --template=understudy-db@.target && echo "understudy-db@$3.target"')):
        with open(group.path(name), 'w') as file:
            file.write(f'#!/bin/sh\n{text}\n')
        os.chmod(group.path(name), 0o755)
    environment = {'PATH': group.directory + ':/usr/bin:/bin', 'ASKED': group.path('asked'),
                   'UNDERSTUDY_DATABASE': 'orders'}
    for hook in ('post_mount', 'pre_dismount', 'post_dismount'):
        subprocess.run(['/bin/sh', script], env={**environment, 'UNDERSTUDY_HOOK': hook}, check=True, timeout=20)
    with open(group.path('asked')) as file:
        check(file.read().split('\n') == ['start --no-block -- understudy-db@orders.target',
                                          'stop -- understudy-db@orders.target', ''], 'systemctl was asked otherwise')


TELL = '''test "$1" = "$UNDERSTUDY_HOOK" || exit 9
echo $UNDERSTUDY_HOOK $UNDERSTUDY_DATABASE $UNDERSTUDY_SERVER $UNDERSTUDY_TERM $UNDERSTUDY_POSITION \
$UNDERSTUDY_REASON >> "$(dirname "$0")/told"
'''


REFUSE_DISMOUNT = TELL + 'test "$1" != pre_dismount || { echo still in use; exit 1; }\n'


def switchovers(group):
    term = group.status()['term']
    group.set_script(REFUSE_DISMOUNT)
    refused = group.run('switchover', 'orders', '--to', 's2', ok=False)
    check('still in use' in refused.stderr, f'a switchover called off: {refused.stderr}')
    check(group.is_mounted('s1') and group.status()['term'] == term, f'it was changed: {group.status()}')
    group.expect('s1 knows that it stays', 'pre_dismount s1 switchover', 'post_mount s1 mount')

    # One that hangs keeps nobody from writing, and what is written is followed meanwhile.
    group.set_script(TELL + '''if test "$1" = pre_dismount; then
  while ! test -e "$(dirname "$0")/go"; do sleep 0.05; done
fi
''')
    moving = threading.Thread(target=group.run, args=('switchover', 'orders', '--to', 's2'))
    moving.start()
    wait_for('pre_dismount runs', group.told)
    with sqlite3.connect(group.path('orders.db')) as connection:
        connection.execute('insert into t values (2)')
    connection.close()
    group.run('wait', 'orders', '--timeout', '30s')
    check(group.is_mounted('s1'), 's1 was dismounted before its hook had ended')
    with open(group.path('go'), 'w'):
        pass
    moving.join()
    group.expect('the switchover was told', 'pre_dismount s1 switchover', 'post_dismount s1 switchover',
                 'pre_mount s2 switchover', 'post_mount s2 switchover')
    check(group.is_mounted('s2'), 's2 is not mounted')
    os.remove(group.path('go'))
    group.set_script(TELL)


def administrator(group):
    group.set_script(REFUSE_DISMOUNT)
    group.run('activation', 'dismount', 'orders')
    group.expect('the dismount was told', 'pre_dismount s2 administrator', 'post_dismount s2 administrator')
    group.run('activation', 'mount', 'orders')
    group.expect('the mount was told', 'pre_mount s2 mount', 'post_mount s2 mount')
    group.set_script(TELL)


def lease(group):
    """The coordinator's file is locked until the lease of 2 s has ended."""
    connection = sqlite3.connect(group.path('group', 'group.db'), timeout=20, isolation_level=None)
    connection.execute('begin immediate')
    try:
        group.expect('the dismount was told', 'post_dismount s2 lease')
    finally:
        connection.execute('rollback')
        connection.close()
    # s2 mounts it again, unless s1's lease was renewed first and it took over.
    wait_for('mounted again', lambda: group.is_mounted('s1') or group.is_mounted('s2'))
    wait_for('that was told', lambda: len(group.told()) >= 2)


def failover(group):
    active, other = group.active_and_other()
    wait_for('the other copy is ready', lambda: group.copy(other, server=other)['state'] == 'Healthy')
    group.forget()
    group.kill(active)
    wait_for('the other copy is mounted', lambda: group.is_mounted(other))
    group.expect('the failover was told', f'pre_mount {other} failover', f'post_mount {other} failover')
    # What was the active copy retires without any hook.
    group.start(active)
    wait_for('the old one is a passive copy', lambda: group.copy(active, server=active)['state'] == 'Healthy')
    check(group.told() == [], f'told: {group.told()}')


def veto_where_it_went(group):
    """A copy that is not mounted where it was moved to is given up after 15 s, for the next best one."""
    active, other = group.active_and_other()
    group.set_script(TELL + f'test "$1-$UNDERSTUDY_SERVER" != pre_mount-{other} || {{ sleep 1; echo not here; exit 1; }}\n')
    refused = group.run('switchover', 'orders', '--to', other, server=active, ok=False)
    check('not here' in refused.stderr, f'a mount that was refused: {refused.stderr}')
    wait_for('the old one is mounted again', lambda: group.is_mounted(active))
    told = lambda: [(t[0], t[2], t[5]) for t in group.told()]
    wait_for('it was told', lambda: ('post_mount', active, 'failover') in told())
    wait_for('the other is a passive copy', lambda: group.copy(other, server=other)['state'] == 'Healthy')
    check({t for t in told() if t[1] == other} == {('pre_mount', other, 'switchover')}, f'told: {told()}')


def main():
    group = HookedGroup(tempfile.mkdtemp(prefix='understudy-hooks-'), sys.argv[1], sys.argv[2])
    source = group.path('orders.db')
    connection = sqlite3.connect(source)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(a)')
    connection.commit()
    try:
        group.set_script('echo the volume is not attached; exit 1\n')
        group.start('s1')
        refused = group.run('db', 'add', 'orders', source, ok=False)
        check('the volume is not attached' in refused.stderr, f'a veto: {refused.stderr}')

        group.set_script(TELL)
        group.run('db', 'add', 'orders', source)
        wait_for('post_mount has run', lambda: len(group.told()) == 2)
        check([t[0] for t in group.told()] == ['pre_mount', 'post_mount'], f'told: {group.told()}')
        term = group.status()['term']
        check(group.told()[1][1:4] == ['orders', 's1', str(term)], f'told: {group.told()}')
        connection.execute('insert into t values (1)')
        connection.commit()

        check(group.kill('s1', signal.SIGTERM) == 0, f's1 did not stop cleanly: {group.errors("s1")}')
        check([t[0] for t in group.told()[2:]] == ['pre_dismount', 'post_dismount'], f'told: {group.told()}')
        check(group.told()[3][5] == 'stop', f'told: {group.told()}')

        # One that hangs costs its limit, no more; the mount goes on.
        group.timeout = '300ms'
        group.set_script('test "$1" != post_mount || sleep 600\n')
        group.start('s1')
        wait_for('mounted', lambda: group.copy('s1')['state'] == 'Mounted')
        wait_for('the event of the killed hook', lambda: 'hooks.timeout' in group.run('events').stdout)

        # The settings are read anew: a veto of the next mount, which does not use up a term.
        term = group.status()['term']
        group.kill('s1')
        group.timeout = '20s'
        group.set_script('echo not today; exit 1\n')
        group.start('s1')
        wait_for('the mount is refused', lambda: group.copy('s1')['state'] == 'Failed')
        check('not today' in group.copy('s1')['error']['message'], f'{group.copy("s1")}')
        check(group.status()['term'] == term, 'a refused mount used up a term')
        group.set_script('exit 0\n')
        wait_for('mounted after the veto', lambda: group.copy('s1')['state'] == 'Mounted')

        group.set_script(TELL)
        group.start('s2')
        group.run('copy', 'add', 'orders', 's2')
        group.run('wait', 'orders', '--timeout', '30s')
        group.forget()
        switchovers(group)
        administrator(group)
        lease(group)
        failover(group)
        veto_where_it_went(group)
        systemd_targets(group)
        print('every hook ran when it should')
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        connection.close()
        group.stop_all()
        if '--keep' not in sys.argv:
            shutil.rmtree(group.directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
