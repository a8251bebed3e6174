#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A copy that went another way than its group is brought back, and what it had is kept.

    resync_test.py UNDERSTUDY UNDERSTUDYD

  1. the active copy's server is put back, with database and log, to what it was earlier, and goes on from there in a new
     term: the passive copy now has commits that the group went on without. They become a bundle with the whole former
     database, and the copy fetches the pages that differ;
  2. the commands for lost log tell it from any server, and bring the database to where the command runs;
  3. a copy whose file SQLite can no longer read fetches the damaged page, not the whole file;
  4. a person has the copy resynchronised, or seeded anew, and removes the bundle.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile

from cluster_test import Failed, Group, check, compare, events, wait_for

SEED_COMPLETED, RESYNC_COMPLETED, LOST_LOG_SAVED, LOST_LOG_REMOVED = 2031, 2034, 2035, 2036
ROWS, LOST_ROWS, NEW_ROWS = 20000, 60, 40


def insert(path, rows, word):
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute('pragma synchronous=normal')
    for _ in range(rows):
        connection.execute('insert into t(word, body) values(?, ?)', (word, os.urandom(400)))
    connection.close()


def count(path, word):
    connection = sqlite3.connect(path)
    rows = connection.execute('select count(*) from t where word=?', (word,)).fetchone()[0]
    connection.close()
    return rows


def make_database(path):
    connection = sqlite3.connect(path)
    connection.execute('pragma journal_mode=wal')
    connection.execute('create table t(id integer primary key, word text, body blob)')
    connection.executemany('insert into t(word, body) values(?, ?)',
                           (('old', os.urandom(400)) for _ in range(ROWS)))
    connection.commit()
    connection.close()


def keep(group, source, to):
    """What s1 has of the database: file, WAL and log."""
    os.makedirs(to)
    for suffix in ('', '-wal'):
        if os.path.exists(source + suffix):
            shutil.copy2(source + suffix, os.path.join(to, 'database' + suffix))
    shutil.copytree(group.path('s1', 'orders'), os.path.join(to, 'orders'))


def put_back(group, source, kept):
    for suffix in ('', '-wal', '-shm'):
        if os.path.exists(source + suffix):
            os.remove(source + suffix)
        if os.path.exists(os.path.join(kept, 'database' + suffix)):
            shutil.copy2(os.path.join(kept, 'database' + suffix), source + suffix)
    shutil.rmtree(group.path('s1', 'orders'))
    shutil.copytree(os.path.join(kept, 'orders'), group.path('s1', 'orders'))


def heard(group, number):
    return [event['message'] for event in events(group) if event['number'] == number]


def is_healthy(group):
    return group.copy('s2')['state'] == 'Healthy'


def received(message):
    return int(re.search(r'(\d+) bytes received', message).group(1))


def check_bundle(group):
    lost = group.path('s2', 'orders', 'lost')
    bundles = os.listdir(lost)
    check(len(bundles) == 1, f'bundles: {bundles}')
    bundle = os.path.join(lost, bundles[0])
    with open(os.path.join(bundle, 'manifest.json'), encoding='utf-8') as file:
        manifest = json.load(file)
    check(manifest['database'] == 'orders' and manifest['newer_term']['term'] > manifest['first']['term'], manifest)
    commits = manifest['last']['seq'] - manifest['first']['seq'] + 1
    check(commits >= LOST_ROWS, f'{commits} commits are kept of {LOST_ROWS}: {manifest}')
    check(count(os.path.join(bundle, 'database.db'), 'lost') == LOST_ROWS, 'rows are missing in the bundle')
    for file in manifest['files']:
        check(os.path.getsize(os.path.join(bundle, file['name'])) == file['bytes'], file)


def diverge(group, source, paths):
    group.kill('s1', signal.SIGTERM)
    kept = group.path('kept')
    keep(group, source, kept)
    group.start('s1')
    wait_for('mounted', lambda: group.copy('s1')['state'] == 'Mounted')
    insert(source, LOST_ROWS, 'lost')
    group.run('wait', 'orders')
    check(count(paths['s2'], 'lost') == LOST_ROWS, 's2 does not follow')
    group.kill('s1', signal.SIGTERM)
    put_back(group, source, kept)
    group.start('s1')
    wait_for('mounted again', lambda: group.copy('s1')['state'] == 'Mounted')
    insert(source, NEW_ROWS, 'new')
    wait_for('the copy is resynchronised', lambda: heard(group, RESYNC_COMPLETED) and is_healthy(group))
    compare(group, paths, ('s1', 's2'))
    check(count(paths['s2'], 'lost') == 0 and count(paths['s2'], 'new') == NEW_ROWS, 's2 has other rows')
    check(len(heard(group, LOST_LOG_SAVED)) == 1, heard(group, LOST_LOG_SAVED))
    check_bundle(group)
    message = heard(group, RESYNC_COMPLETED)[0]
    size = os.path.getsize(source)
    check(received(message) * 20 <= size, f'too much was fetched of {size} bytes: {message}')
    print(message)


def lost_list(group):
    return json.loads(group.run('lost', 'list', '-o', 'json').stdout)


def look_at_lost(group):
    """From s1, which does not have the bundle. The lost rows' keys were given anew to the new ones."""
    listed = lost_list(group)
    check(len(listed['bundles']) == 1 and listed['silent'] == [], listed)
    bundle = listed['bundles'][0]
    check(bundle['server'] == 's2' and bundle['database'] == 'orders' and bundle['commits'] >= LOST_ROWS, bundle)
    check(lost_list_of(group, 'other') == [], 'another database has it too')
    check(bundle['id'] in group.run('lost', 'list', 'orders').stdout, 'not in the table')
    lost = json.loads(group.run('lost', 'show', bundle['id'], '-o', 'json', '--records', '3', '--rows', '2').stdout)['lost']
    check(lost['manifest']['id'] == bundle['id'], lost['manifest'])
    records = lost['lost_records']
    check(len(records) == 3 and records[0]['first'] == bundle['first'] and records[2]['pages'] > 0, records)
    check(lost['not_compared'] is None and lost['compared_at']['term'] == bundle['newer_term'], lost)
    (table,) = lost['differences']
    check((table['table'], table['changed'], table['only_in_bundle'], table['only_in_copy'])
          == ('t', NEW_ROWS, LOST_ROWS - NEW_ROWS, 0), table)
    kinds = [row['kind'] for row in table['rows']]
    check(kinds == ['only in bundle'] * 2 + ['changed'] * 2, kinds)
    changed = table['rows'][2]
    check((changed['bundle']['word'], changed['copy']['word']) == ("'lost'", "'new'"), changed)
    text = group.run('lost', 'show', bundle['id']).stdout
    check('The copy has gone on since' in text and "word='lost'" in text, text)
    return bundle


def lost_list_of(group, database):
    return json.loads(group.run('lost', 'list', database, '-o', 'json').stdout)['bundles']


def export_lost(group, bundle):
    to = group.path('exported')
    answer = json.loads(group.run('lost', 'export', bundle['id'], '--output', to, '-o', 'json').stdout)['export']
    check(os.path.getsize(answer['output']) == bundle['database_size'] == answer['size'], answer)
    check(count(answer['output'], 'lost') == LOST_ROWS, 'rows are missing in the export')
    connection = sqlite3.connect(answer['output'])
    check(connection.execute('pragma integrity_check').fetchone()[0] == 'ok', 'the export is damaged')
    connection.close()
    with open(answer['json'], encoding='utf-8') as file:
        check(json.load(file)['lost']['id'] == bundle['id'], 'another description')
    check(len(os.listdir(to)) == 3, os.listdir(to))
    again = group.run('lost', 'export', bundle['id'], '--output', to, ok=None)
    check(again.returncode == 1 and '--force' in again.stderr, again)
    group.run('lost', 'export', bundle['id'], '--output', to, '--force')
    unknown = group.run('lost', 'show', '20200101T000000Z-1.1', ok=None)
    check(unknown.returncode == 1 and 'lost list' in unknown.stderr, unknown)


def reseed(group, source, paths):
    refused = group.run('copy', 'reseed', 'orders', 's1', ok=None)
    check(refused.returncode == 1 and 'active' in refused.stderr, refused)
    for arguments, number in (((), RESYNC_COMPLETED), (('--full',), SEED_COMPLETED)):
        before = len(heard(group, number))
        group.run('copy', 'reseed', 'orders', 's2', *arguments)
        copy = group.copy('s2')
        check(copy['state'] == 'Healthy' and not copy['reseeding'], copy)
        wait_for('the event', lambda: len(heard(group, number)) == before + 1)
        insert(source, 1, 'new')
        compare(group, paths, ('s1', 's2'))


def remove_lost(group, bundle):
    unsure = group.run('lost', 'remove', bundle['id'], ok=None)
    check(unsure.returncode == 2 and '--yes' in unsure.stderr, unsure)
    check(len(lost_list(group)['bundles']) == 1, 'it is gone')
    group.run('lost', 'remove', bundle['id'], '--yes')
    check(lost_list(group)['bundles'] == [], 'it is still there')
    check(os.listdir(group.path('s2', 'orders', 'lost')) == [], 'files are left')
    wait_for('the event', lambda: len(heard(group, LOST_LOG_REMOVED)) == 1)


def damage(group, source, paths, bundle):
    group.kill('s2', signal.SIGTERM)
    silent = lost_list(group)['silent']
    check([server['server'] for server in silent] == ['s2'], silent)
    nowhere = group.run('lost', 'show', bundle['id'], ok=None)
    check(nowhere.returncode == 1 and 's2 did not' in nowhere.stderr, nowhere)
    with open(paths['s2'], 'r+b') as file:
        file.write(b'no database here')
    group.start('s2')
    wait_for('the copy is mended', lambda: len(heard(group, RESYNC_COMPLETED)) == 2 and is_healthy(group))
    insert(source, 1, 'new')
    compare(group, paths, ('s1', 's2'))
    message = heard(group, RESYNC_COMPLETED)[1]
    check(received(message) < 200000, f'too much was fetched: {message}')
    print(message)


def main():
    directory = tempfile.mkdtemp(prefix='understudy-resync-')
    source = os.path.join(directory, 'orders.db')
    make_database(source)
    group = Group(directory, sys.argv[1], sys.argv[2])
    try:
        group.start('s1')
        group.start('s2')
        group.run('activation', 'pause')  # s1 stays the active one while it is down
        group.run('db', 'add', 'orders', source, '--copies', 's2')
        paths = {'s1': source, 's2': group.copy('s2')['path']}
        group.run('wait', 'orders')
        diverge(group, source, paths)
        bundle = look_at_lost(group)
        export_lost(group, bundle)
        damage(group, source, paths, bundle)
        reseed(group, source, paths)
        remove_lost(group, bundle)
    except Failed as failure:
        group.report(failure)
        return 1
    finally:
        group.stop_all()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
