#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A lagged copy holds log back, gives up its lag when it must, and gives back what was deleted.

    lagged_test.py UNDERSTUDY UNDERSTUDYD

  1. s3 gets a copy with a lag of an hour: the log is there, the rows are not, also after kill -9 and a restart;
     a copy with a lag of a few seconds shows rows once they are that old, and not before;
  2. status, health, wait, the load balancer's answers and a backup tell of it truly;
  3. rows that were deleted come back: the database at a time and at a position, with what each leaves out; points that
     the copy cannot give are refused with those that it can; the active copy gets the rows back under an application;
  4. play-down on demand to a position, on a low disk, and when copies are few; suspended and resumed; seeded anew;
  5. a failover for which only the lagged copy is left replays everything.
"""

import datetime
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import urllib.error
import urllib.request

from cluster_test import Failed, Group, check, events, image, wait_for

PLAY_DOWN_STARTED, PLAY_DOWN_ENDED, EXTRACTED = 2027, 2028, 2029
ROWS = 300


class LaggedGroup(Group):
    free_percent, copies_min = 0, 0

    def config(self, name, listen):
        path = super().config(name, listen)
        with open(path, 'a') as file:
            file.write(f'''[lag]
playdown_free_percent = {self.free_percent}
playdown_copies_min = {self.copies_min}
playdown_copies_after = "1s"
[web]
listen = "127.0.0.1:0"
''')
        return path

    def set_lag(self, name, free_percent=0, copies_min=0):
        self.free_percent, self.copies_min = free_percent, copies_min
        self.config(name, self.addresses[name])
        self.processes[name].send_signal(signal.SIGHUP)

    def document(self, *arguments, **options):
        return json.loads(self.run(*arguments, '-o', 'json', **options).stdout)


def utc():
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.strftime('%Y-%m-%dT%H:%M:%S.') + f'{now.microsecond // 1000:03}Z'


def insert(path, rows, word):
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    for _ in range(rows):
        connection.execute('insert into t(word, body) values(?, ?)', (word, os.urandom(300)))
    connection.close()


def run_sql(path, sql):
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute(sql)
    connection.close()


def count(path, word):
    connection = sqlite3.connect(f'file:{path}?mode=ro', uri=True, timeout=30)
    rows = connection.execute('select count(*) from t where word=?', (word,)).fetchone()[0]
    check(connection.execute('pragma integrity_check').fetchall() == [('ok',)], f'{path} is corrupt')
    connection.close()
    return rows


def position(group):
    """Everything that is committed is durable on s3; where that is."""
    group.run('wait', 'orders', '--durable', '--servers', 's3')
    return group.copy('s3')['durable']


def ask(group, path):
    web = next(s['web'] for s in group.document('server', 'list')['servers'] if s['name'] == 's3')
    try:
        with urllib.request.urlopen(f'http://{web}/db/orders/{path}', timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def told(group, number):
    return [event['message'] for event in events(group) if event['number'] == number]


def hold_back(group, source, paths):
    start = group.copy('s3')['replayed']
    insert(source, ROWS, 'kept')
    before_deletion = position(group)
    wait_for('s2 has them', lambda: count(paths['s2'], 'kept') == ROWS)
    check(count(paths['s3'], 'kept') == 0, 'the lagged copy has them too')
    s3 = group.copy('s3')
    check(s3['state'] == 'Healthy' and s3['replayed'] == start and s3['replay_queue'] == before_deletion - start, s3)
    check(s3['replay_lag_ms'] == 3_600_000 and s3['playing_down'] is None, s3)
    wait_for('they get older', lambda: group.copy('s3')['lag_actual_ms'] > 0)
    hold = next(h for h in s3['holds'] if h['name'] == 'replay lag')
    check(hold['seq'] == start and '1h' in hold['reason'], hold)
    check(all(h['name'] != 'replay lag' for h in group.copy('s1')['holds']), 'the active copy holds for it')
    check('lags by 1 h' in group.run('status', 'orders').stdout, 'not in the table')
    group.kill('s3')
    group.start('s3')
    wait_for('s3 is back', lambda: group.copy('s3')['state'] == 'Healthy')
    insert(source, 1, 'more')
    check(position(group) > before_deletion, 's3 does not copy')
    check(group.copy('s3')['replayed'] == start and count(paths['s3'], 'kept') == 0, 'a restart ended the lag')
    return before_deletion


def is_told_truly(group, start):
    checks = {(c['check'], c['about']): c for c in group.document('health')['checks']}
    check(checks['ReplayLag', 'orders@s3']['result'] == 'OK', checks)
    check(('ReplayQueue', 'orders@s3') not in checks, checks)
    group.run('wait', 'orders', '--replayed', '--timeout', '30s')  # for s2 only
    code, answer = ask(group, 'replica')
    check(code == 503 and 'lagged' in answer['why'] and answer['replay_lag_ms'] == 3_600_000, answer)
    code, answer = ask(group, 'replica?lag=1')
    check(code == 503, answer)
    check(ask(group, f'replica?lag={ROWS * 10}')[0] == 200, 'a lag that allows it is refused')
    check(ask(group, 'health')[0] == 200, 'not healthy')
    explained = group.document('failover', 'explain', 'orders')
    check([c['server'] for c in explained['candidates']] == ['s2', 's3'], explained)
    check('lags by 1h' in explained['candidates'][1]['verdict'], explained)
    refused = group.run('switchover', 'orders', '--to', 's3', ok=False).stderr
    check('understudy copy lag orders s3 0' in refused, refused)
    # A backup says of which position it is; without a wish the other copy is taken.
    group.run('backup', 'run', 'orders', '--from', 's3')
    group.run('backup', 'run', 'orders')
    backups = {b['server']: b for b in group.document('backup', 'list', 'orders')['backups']}
    check(backups['s3']['position'] == start and backups['s2']['position'] > start, backups)
    group.run('backup', 'verify', 'orders')


def undo(group, source, paths, at, end):
    """The active copy has the deleted rows again, under an application that has it open."""
    application = sqlite3.connect(source, timeout=30, isolation_level=None)
    check(application.execute("select count(*) from t where word='kept'").fetchone()[0] == 0, 'not deleted')
    asked = ('copy', 'activate', 'orders', 's3', '--at', at, '--into-active')
    check('--yes' in group.run(*asked, ok=False).stderr, 'it does not ask')
    check(group.document(*asked, '--dry-run')['point']['commits_after'] == 1, 'dry run')
    check(position(group) == end, 'something was changed')
    point = group.document(*asked, '--yes', server='s2')['point']
    check(point['replaced_by'] == end + 1 and point['commits_meanwhile'] == 0, point)
    check(application.execute("select count(*) from t where word='kept'").fetchone()[0] == ROWS, 'not undone')
    application.execute("insert into t(word) values('goes on')")
    application.close()
    group.run('wait', 'orders', '--replayed')
    check(image(source) == image(paths['s2']) and count(source, 'kept') == ROWS, 's2 differs')
    bundle, = group.document('lost', 'list', 'orders')['bundles']
    check(bundle['id'] == point['lost'] and bundle['server'] == 's3' and bundle['commits'] == 1, bundle)
    lost = os.path.join(bundle['directory'], 'database.db')
    check(count(lost, 'kept') == 0 and count(lost, 'old') == 3000, 'the bundle has another database')


def come_back(group, source, paths, before_deletion):
    earlier, at = utc(), utc()
    while at == earlier:  # times are told in milliseconds
        at = utc()
    while utc() == at:
        pass
    run_sql(source, "delete from t where word='kept'")
    end = position(group)
    target = group.path('extracted.db')
    dry = group.document('copy', 'activate', 'orders', 's3', '--at', at, '--dry-run')['point']
    check(not os.path.exists(target) and dry['commits_after'] == 1 and dry['last'] == end, dry)
    check(dry['position'] == end - 1 and dry['committed'] <= at < dry['first_after'], dry)
    point = group.document('copy', 'activate', 'orders', 's3', '--at', at, '--output', target)['point']
    check(count(target, 'kept') == ROWS and count(source, 'kept') == 0, 'the deleted rows are not there')
    check(point['size'] == os.path.getsize(target) and point['position'] == dry['position'], point)
    check(not os.path.exists(target + '.tmp'), 'something is left')
    # The whole of each database that can be had, against what it was.
    text = group.run('copy', 'activate', 'orders', 's3', '--seq', str(end), '--output', target, '--force').stdout
    check('every page checked' in text and 'leaves nothing out' in text, text)
    content = bytearray(open(target, 'rb').read())
    content[18:20] = b'\x02\x02'
    check(bytes(content) == image(source), 'the newest point is not what the active copy has')
    asked = ('copy', 'activate', 'orders', 's3', '--seq', str(before_deletion - 10), '--output', target, '--force')
    reached = group.document(*asked)['point']['position']  # a record may have several commits
    check(before_deletion - 10 - ROWS // 2 < reached <= before_deletion - 10, reached)
    check(count(target, 'kept') == ROWS - (before_deletion - reached), count(target, 'kept'))
    for arguments, words in [
            (('--seq', '1', '--output', group.path('x')), ('the earliest that can be had', str(dry['earliest']))),
            (('--at', '2020-01-01T00:00:00Z', '--dry-run'), ('the earliest that can be had', dry['earliest_committed'])),
            (('--seq', str(end + 1), '--dry-run'), ('after the end',)),
            (('--at', '2199-01-01T00:00:00Z', '--dry-run'), ('after the end',)),
            (('--at', 'yesterday', '--dry-run'), ('2026-11-26T10:00:00Z',)),
            (('--seq', str(end)), ('--output',)),
            (('--dry-run',), ('--at',)),
            (('--seq', str(end), '--output', target), ('is there already', '--force'))]:
        result = group.run('copy', 'activate', 'orders', 's3', *arguments, ok=False)
        check(all(word in result.stderr for word in words), f'{arguments}: {result.stderr}')
    refused = group.run('copy', 'activate', 'orders', 's1', '--seq', str(end), '--dry-run', ok=False).stderr
    check('is the active one' in refused, refused)
    check(len(told(group, EXTRACTED)) == 3, told(group, EXTRACTED))
    check(count(paths['s3'], 'kept') == 0, 'the copy was changed')
    undo(group, source, paths, at, end)


def play_down(group, source, paths, before_deletion):
    to = group.document('copy', 'playdown', 'orders', 's3', '--to-seq', str(before_deletion - 5), '--wait')['to']
    check(before_deletion - 5 - ROWS // 2 < to <= before_deletion - 5, to)
    check(group.copy('s3')['replayed'] == to, group.copy('s3'))
    check(count(paths['s3'], 'kept') == ROWS - (before_deletion - to), count(paths['s3'], 'kept'))
    wait_for('it has ended', lambda: group.copy('s3')['playing_down'] is None)
    insert(source, 10, 'later')
    position(group)
    check(group.copy('s3')['replayed'] == to, 'the lag is gone')
    check(len(told(group, PLAY_DOWN_STARTED)) == 1 and 'administrator' in told(group, PLAY_DOWN_STARTED)[0], 'events')
    group.run('copy', 'playdown', 'orders', 's2', ok=False)

    group.run('copy', 'suspend', 'orders', 's3')
    insert(source, 10, 'suspended')
    group.run('copy', 'resume', 'orders', 's3')
    end = position(group)
    check(group.copy('s3')['replayed'] == to, 'the lag is gone after a resume')

    group.set_lag('s3', free_percent=100)
    wait_for('a low disk plays it down', lambda: group.copy('s3')['replayed'] == end)
    s3 = group.copy('s3')
    check('lag.playdown_free_percent is 100' in s3['playing_down'], s3)
    worry = next(c for c in group.document('health')['checks'] if c['check'] == 'ReplayLag')
    check(worry['result'] == 'WARNING' and 'free' in worry['what'], worry)
    check('before its time' in group.run('status', 'orders').stdout, 'not in the table')
    group.set_lag('s3')
    wait_for('it ends', lambda: group.copy('s3')['playing_down'] is None)
    group.set_lag('s3', copies_min=3)
    insert(source, 10, 'few copies')
    end = position(group)
    wait_for('few copies play it down', lambda: group.copy('s3')['replayed'] == end)
    check('lag.playdown_copies_min is 3' in group.copy('s3')['playing_down'], group.copy('s3'))
    group.set_lag('s3')
    wait_for('it ends too', lambda: group.copy('s3')['playing_down'] is None)
    insert(source, 10, 'after')
    check(position(group) > end and group.copy('s3')['replayed'] == end, 'the lag does not build up again')
    check(len(told(group, PLAY_DOWN_STARTED)) == 3 and len(told(group, PLAY_DOWN_ENDED)) == 3, 'events')


def short_lag(group, source, paths):
    seconds = 3
    group.run('copy', 'lag', 'orders', 's3', f'{seconds}s')
    wait_for('what is old goes', lambda: count(paths['s3'], 'after') == 10)
    began = time.monotonic()
    insert(source, 1, 'young')
    committed = time.monotonic()
    wait_for('it is replayed', lambda: count(paths['s3'], 'young') == 1)
    check(time.monotonic() - began >= seconds, f'held for {time.monotonic() - committed} s only')
    group.run('copy', 'lag', 'orders', 's3', '0')
    insert(source, 1, 'at once')
    group.run('wait', 'orders', '--servers', 's3')
    for wrong in ('15d', '-1s', 'much'):
        group.run('copy', 'lag', 'orders', 's3', '--', wrong, ok=False)


def seed_anew(group, source, paths):
    group.run('copy', 'lag', 'orders', 's3', '1h')
    group.run('copy', 'reseed', 'orders', 's3', '--full')
    check(count(paths['s3'], 'at once') == 1, 'it is not of now')
    insert(source, 20, 'held')
    position(group)
    wait_for('healthy', lambda: group.copy('s3')['state'] == 'Healthy')
    check(count(paths['s3'], 'held') == 0, 'a seed ended the lag')


def fail_over(group, paths):
    group.run('copy', 'remove', 'orders', 's2')
    expected = group.copy('s3')['durable']
    group.kill('s1')
    wait_for('the lagged copy takes over', lambda: group.copy('s3', server='s3')['state'] == 'Mounted')
    check(count(paths['s3'], 'held') == 20, 'not everything was replayed')
    insert(paths['s3'], 1, 'new')
    failover = next(e['message'] for e in json.loads(group.run('events', '-o', 'json', server='s3').stdout)['events']
                    if e['number'] == 2018)
    check('lags by 1h' in failover, failover)
    check(group.status(server='s3')['position'] > expected, 'its log does not go on')
    group.start('s1')
    wait_for('the former active copy follows', lambda: group.copy('s1', server='s3')['state'] == 'Healthy')
    check(group.copy('s1', server='s3')['replay_lag_ms'] == 0, 'it lags now')


def main():
    directory = tempfile.mkdtemp(prefix='understudy-lagged-')
    group = LaggedGroup(directory, sys.argv[1], sys.argv[2])
    source = group.path('orders.db')
    connection = sqlite3.connect(source)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(id integer primary key, word text, body blob)')
    connection.executemany('insert into t(word, body) values(?, ?)', (('old', os.urandom(300)) for _ in range(3000)))
    connection.commit()
    connection.close()
    try:
        for name in ('s1', 's2', 's3'):
            group.start(name)
        group.run('db', 'add', 'orders', source, '--copies', 's2')
        insert(source, 5, 'before')
        group.run('copy', 'add', 'orders', 's3', '--lag', '1h')
        paths = {name: group.copy(name)['path'] for name in ('s2', 's3')}
        start = group.copy('s3')['replayed']
        before_deletion = hold_back(group, source, paths)
        is_told_truly(group, start)
        come_back(group, source, paths, before_deletion)
        play_down(group, source, paths, before_deletion)
        short_lag(group, source, paths)
        seed_anew(group, source, paths)
        fail_over(group, paths)
        print('log was held back, given up, and gave back what was deleted')
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        group.stop_all()
        if '--keep' not in sys.argv:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
