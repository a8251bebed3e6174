#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard of a lab's server in a headless Chromium (dashboard/browse.mjs looks at the page).

    dashboard_test.py UNDERSTUDY CACHE_DIRECTORY [SCREENSHOT_DIRECTORY]

  1. the page shows servers, databases and copies of a real group, wide and narrow, in light and dark, by keyboard;
  2. it follows by its stream, without being loaded again: a copy is suspended and resumed, a switchover, the server stops
     and comes back;
  3. 500 databases (a state made from the real one): how long the page takes is measured; found and filtered at once;
  4. names that are markup stay text; nothing is asked of others; the browser's console has no error.

Exit code 77 where Chromium, node or npm's package playwright-core cannot be had.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

from npm_package import installed, skip

PACKAGE, VERSION = 'playwright-core', '1.65.1'
DEADLINE = 60
BROWSE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'dashboard', 'browse.mjs')


class Failed(Exception):
    pass


def run(command, lab, *arguments):
    environment = {**os.environ, 'UNDERSTUDY_LAB': lab}
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False, timeout=DEADLINE,
                          env=environment)
    if done.returncode != 0:
        raise Failed(f'{arguments}: {done.returncode}: {done.stderr}')
    return done.stdout


def make_database(path):
    connection = sqlite3.connect(path)
    connection.execute('PRAGMA journal_mode=WAL')
    connection.execute('CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)')
    connection.commit()
    connection.close()


def main():
    chromium = shutil.which('chromium')
    for name in ('chromium', 'node', 'npm'):
        if shutil.which(name) is None:
            skip(f'there is no {name} here')
    playwright = installed(os.path.abspath(sys.argv[2]), PACKAGE, VERSION, options=['--ignore-scripts'])
    command = os.path.abspath(sys.argv[1])
    directory = tempfile.mkdtemp(prefix='understudy-dashboard-')
    lab = os.path.join(directory, 'lab')
    screenshots = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else directory
    os.makedirs(screenshots, exist_ok=True)
    try:
        run(command, lab, 'lab', 'up', '--servers', '3')
        web = {row['server']: row['web'] for row in json.loads(run(command, lab, 'lab', 'status', '-o', 'json'))['servers']}
        for name, copies in (('orders', 's2,s3'), ('mail', 's2')):
            path = os.path.join(directory, f'{name}.db')
            make_database(path)
            run(command, lab, '--server', 's1', 'db', 'add', name, path, '--copies', copies)
        for name in ('orders', 'mail'):
            run(command, lab, '--server', 's1', 'wait', name, '--timeout', '30s')
        done = subprocess.run(
            ['node', BROWSE, playwright, chromium, f'http://{web["s2"]}/', command, screenshots],
            env={**os.environ, 'UNDERSTUDY_LAB': lab, 'UNDERSTUDY_SERVER': 's1', 'HOME': directory}, timeout=2 * DEADLINE, check=False)
        return 0 if done.returncode == 0 else 1
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(f'FAILED: {failure}')
        return 1
    finally:
        subprocess.run([command, 'lab', 'down', '--dir', lab], capture_output=True, check=False, timeout=DEADLINE)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
