#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a document's commands, in order, in one shell, and compares what they print with what the document shows.

    tutorial_test.py DOCUMENT SOURCE_DIRECTORY BIN_DIRECTORY NPM_CACHE

Fenced blocks are all that a document may have of commands, and each is one of these:

    sh          must end well                      sh fails    must end with an error
    sh until    is repeated until it ends well and prints what is expected, for at most UNTIL_SECONDS_MAX
    sh install  is not run: the packages it names are compared with tools/install-deps, its `make` targets with the Makefile
    output      what the block before printed, both streams. `…` stands for anything within a line, a line `…` for any
                lines; any number of spaces are equal. Without such a block the output may be anything.
    toml, python, text  are shown only; a text block has no commands

`npm install --prefix DIRECTORY PACKAGE@VERSION` brings the package through the tests' cache, since registries are away at times.
As root all this happens in network and process namespaces of its own, so that no port is taken and nothing is left.
Exit code 77: skipped, because a program is missing.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from npm_package import installed, skip

BLOCK_SECONDS_MAX, UNTIL_SECONDS_MAX = 90, 60
NEEDED = {'haproxy': 'haproxy', 'etcd': 'etcd-server', 'node': 'nodejs', 'sqlite3': 'sqlite3', 'curl': 'curl'}
RUN = ('sh', 'sh fails', 'sh until')
SHOWN = ('toml', 'python', 'text', 'ini', 'js', 'yaml', 'json')
NPM_INSTALL = re.compile(r'^npm install --prefix (\S+) (\S+)@(\S+)$', re.MULTILINE)


class Failed(Exception):
    pass


class Block:
    def __init__(self, line, kind, text):
        self.line, self.kind, self.text, self.expected = line, kind, text, None


def blocks_of(document):
    """The document's blocks to run or check, each with the output that is expected of it."""
    found, inside, fence = [], None, None
    with open(document, encoding='utf-8') as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith('```'):
            if inside is None:
                inside, fence = Block(number, line[3:].strip(), ''), line
                continue
            if inside.kind == 'output':
                if not found or found[-1].expected is not None:
                    raise Failed(f'line {inside.line}: output of no block')
                found[-1].expected = inside.text.splitlines()
            elif inside.kind in RUN or inside.kind == 'sh install':
                found.append(inside)
            elif inside.kind not in SHOWN:
                raise Failed(f'line {inside.line}: a block of kind "{inside.kind}" is run by nobody')
            elif inside.kind == 'text' and re.search(r'^\s*(\$ |understudyd? )', inside.text, re.MULTILINE):
                raise Failed(f'line {inside.line}: commands in a text block are run by nobody')
            inside = None
        elif inside is not None:
            inside.text += line + '\n'
        elif line.startswith(('    ', '\t')) and (number == 1 or not lines[number - 2].strip()):
            raise Failed(f'line {number}: an indented block is run by nobody; fence it')
    if inside is not None:
        raise Failed(f'line {inside.line}: {fence} does not end')
    return found


def check_install(block, source):
    """Of what is not run: that it names packages and targets that there are."""
    with open(os.path.join(source, 'tools', 'install-deps'), encoding='utf-8') as file:
        packages = set(re.sub(r'#.*', '', file.read()).split()) | {'nodejs', 'npm', 'curl'}
    with open(os.path.join(source, 'Makefile'), encoding='utf-8') as file:
        targets = set(re.findall(r'^([a-z]+):', file.read(), re.MULTILINE))
    for line in block.text.splitlines():
        words = line.split()
        unknown = {'apt-get': lambda: set(words[2:]) - packages, 'make': lambda: set(words[1:]) - targets,
                   'export': set, 'systemctl': set}.get(words[0], lambda: {line})()
        if unknown:
            raise Failed(f'line {block.line}: {unknown}: not known to tools/install-deps or the Makefile')


def fits(expected, printed):
    """Whether the printed lines are those expected, where `…` stands for anything."""
    if not expected:
        return not printed
    if expected[0].strip() == '…':
        return any(fits(expected[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    if not printed:
        return False
    pattern = '.*'.join(r'\s+'.join(re.escape(word) for word in part.split()) for part in expected[0].split('…'))
    pattern = re.sub(r'\.\*', r'\\s*.*\\s*', pattern)
    return re.fullmatch(pattern, printed[0].strip()) is not None and fits(expected[1:], printed[1:])


class Shell:
    """One bash that is given one block after the other."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.bash = subprocess.Popen(['bash'], stdin=subprocess.PIPE, text=True, cwd=directory, env=environment,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def run(self, text, number):
        """The exit code of the first command that fails, or 0, and what was printed."""
        script, output, code = (os.path.join(self.directory, f'.{number}.{what}') for what in ('sh', 'output', 'code'))
        with open(script, 'w', encoding='utf-8') as file:
            file.write(text)
        if os.path.exists(code):
            os.remove(code)
        # The trap leaves the block, not the shell; its variables and background processes stay.
        self.bash.stdin.write(f'trap "failed=\\$?; trap - ERR; return \\$failed" ERR; failed=0; set -o functrace\n'
                              f'. {script} > {output} 2>&1 < /dev/null; failed=$?; trap - ERR\n'
                              f'echo $failed > {code}.new; mv {code}.new {code}\n')
        self.bash.stdin.flush()
        pause, end = threading.Event(), time.monotonic() + BLOCK_SECONDS_MAX
        while not os.path.exists(code):
            if self.bash.poll() is not None or time.monotonic() > end:
                raise Failed(f'no end within {BLOCK_SECONDS_MAX} s of:\n{text}')
            pause.wait(0.02)
        with open(output, encoding='utf-8', errors='replace') as file, open(code, encoding='utf-8') as result:
            return int(result.read()), file.read().splitlines()

    def close(self):
        os.killpg(self.bash.pid, signal.SIGKILL)  # what a document that failed left running is of its group
        self.bash.wait()


def run_block(shell, number, block):
    pause, end = threading.Event(), time.monotonic() + UNTIL_SECONDS_MAX
    while True:
        code, printed = shell.run(block.text, number)
        well = (code != 0) == (block.kind == 'sh fails')
        if well and (block.expected is None or fits(block.expected, printed)):
            return
        if block.kind != 'sh until' or time.monotonic() > end:
            expected = '' if block.expected is None else '\n--- not ---\n' + '\n'.join(block.expected)
            raise Failed(f'line {block.line}: exit code {code} of\n{block.text}--- printed ---\n' + '\n'.join(printed) + expected)
        pause.wait(0.2)


def bring_npm_package(block, directory, cache):
    """What `npm install` would bring, from the cache of the tests; the rest of the block."""
    for prefix, package, version in NPM_INSTALL.findall(block.text):
        installed(cache, package, version)
        os.makedirs(os.path.join(directory, prefix), exist_ok=True)
        os.symlink(os.path.join(cache, 'node_modules'), os.path.join(directory, prefix, 'node_modules'))
    block.text = NPM_INSTALL.sub('true', block.text)


def run_all(document, source, programs, cache, quiet=False):
    blocks = blocks_of(document)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='understudy-tutorial-') as directory:
        work = os.path.join(directory, 'understudy-tutorial')
        os.mkdir(work)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(('UNDERSTUDY_', 'AWS_'))}
        environment |= {'HOME': directory, 'SOURCE': source, 'PATH': programs + os.pathsep + environment['PATH']}
        shell = Shell(directory, environment)
        try:
            for number, block in enumerate(blocks):
                if block.kind == 'sh install':
                    check_install(block, source)
                    continue
                bring_npm_package(block, work, cache)
                run_block(shell, number, block)
        except Failed:
            for name in sorted(os.listdir(work)):
                path = os.path.join(work, name, 'output')
                if os.path.exists(path):
                    with open(path, encoding='utf-8', errors='replace') as file:
                        print(f'--- {name} ---\n{file.read()[-1500:]}')
            raise
        finally:
            shell.close()
    if quiet:
        return
    print(f'{sum(block.kind != "sh install" for block in blocks)} blocks of {os.path.basename(document)} '
          f'in {time.monotonic() - begin:.0f} s')


def self_test():
    """That a document which is not what happens fails: (what is wrong, document)."""
    fence = '```'
    wrong = [('a command that fails', f'{fence}sh\nfalse\ntrue\n{fence}\n'),
             ('another output', f'{fence}sh\necho one two\n{fence}\n{fence}output\none … three\n{fence}\n'),
             ('more output', f'{fence}sh\necho one; echo two\n{fence}\n{fence}output\none\n{fence}\n'),
             ('a failure that does not come', f'{fence}sh fails\ntrue\n{fence}\n'),
             ('a block of no kind', f'{fence}\nls\n{fence}\n'), ('another shell', f'{fence}bash\nls\n{fence}\n'),
             ('a command shown as text', f'{fence}text\nunderstudy status\n{fence}\n'), ('an indented block', 'So:\n\n    ls\n'),
             ('a package that is not known', f'{fence}sh install\napt-get install frobnicate\n{fence}\n'),
             ('a target that is not there', f'{fence}sh install\nmake frobnicate\n{fence}\n')]
    good = f'{fence}sh\nx=1\n{fence}\n{fence}sh\necho one  $x; echo; echo two\n{fence}\n{fence}output\none …\n…\ntwo\n{fence}\n'
    source = os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'document.md')
        for what, text in [*wrong, (None, good)]:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            try:
                run_all(path, source, source, directory, quiet=True)
                passed = True
            except Failed:
                passed = False
            if passed != (what is None):
                raise Failed(f'not noticed: {what}' if what else 'a good document is refused')


def in_namespaces():
    """Root: this program again, alone with its own loopback; what it leaves running ends with it."""
    if os.geteuid() != 0 or os.environ.get('UNDERSTUDY_TEST_ALONE') or not shutil.which('unshare'):
        return
    if subprocess.run(['unshare', '-n', '--pid', '--fork', '--mount-proc', 'true'], capture_output=True, check=False).returncode == 0:
        for _, package, version in NPM_INSTALL.findall(open(sys.argv[1], encoding='utf-8').read()):
            installed(os.path.abspath(sys.argv[4]), package, version)  # while there is a network
        done = subprocess.run(['unshare', '-n', '--pid', '--fork', '--kill-child', '--mount-proc', sys.executable, *sys.argv],
                              env=os.environ | {'UNDERSTUDY_TEST_ALONE': '1'}, check=False)
        sys.exit(done.returncode)


def main():
    document, source, programs, cache = (os.path.abspath(argument) for argument in sys.argv[1:5])
    with open(document, encoding='utf-8') as file:
        text = file.read()
    for program, package in NEEDED.items():
        if re.search(rf'^\s*{program}\b', text, re.MULTILINE) and not shutil.which(program):
            skip(f'{program} is missing: apt-get install {package}')
    in_namespaces()
    if os.environ.get('UNDERSTUDY_TEST_ALONE'):
        subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    try:
        self_test()
        run_all(document, source, programs, cache)
    except Failed as failure:
        print('FAILED:', failure)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
