#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""That documents speak of what there is: commands, options, events, folders, files.

    documents.py UNDERSTUDY UNDERSTUDYD [SOURCE_DIRECTORY]

- Every `understudy …` of README.md, CHANGELOG.md, docs/ and examples/, in a block or within a sentence, names a command of
  `understudy reference` and options that it has; every `understudyd …` options of its --help. A command within a sentence may
  leave arguments out. Designs (docs/design/) are left alone: they tell what was thought at their time.
- Every event that is reported as a warning or an error has a runbook entry in docs/operations.md: a heading with its number.
- docs/ARCHITECTURE.md names every folder of src/, and docs/README.md every document.
"""

import os
import re
import shlex
import subprocess
import sys

GLOBAL = {'--server', '--identity', '-o', '--timeout', '-h', '--help', '--version'}
VALUES = {'--server', '--identity', '-o', '--timeout'}
DAEMON_NAMES = ('understudyd',)
FENCE = re.compile(r'^```(.*)$')
SHELL = ('sh', 'bash', 'sh until', 'sh fails', 'sh install', 'text', '')
INLINE = re.compile(r'`([^`]+)`')
SEVERE = re.compile(r'EventNumber::(k\w+)(?=.{0,200}?Severity::k(?:Warning|Error))', re.DOTALL)
COMMAND_END = re.compile(r'^(?:[;&|]+|\d?>.*|<.*|\)|…|\.\.\.)$')


def commands_of(understudy):
    """Each command's options: {'copy add': {'--path', …}}."""
    text = subprocess.run([understudy, 'reference'], capture_output=True, text=True, check=True, timeout=30).stdout
    commands = {}
    for part in re.split(r'^### understudy ', text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition('\n')
        usage = body.partition('```text')[2].partition('```')[0]
        commands[name.strip()] = set(re.findall(r'(?<![\w-])(--?[a-z][a-z-]*)', '\n'.join(
            line for line in usage.splitlines() if re.match(r'\s{2}-', line)))) | GLOBAL
    commands['reference'] = {'--events'} | GLOBAL  # for documents only, and not listed
    return commands


def options_of_daemon(understudyd):
    text = subprocess.run([understudyd, '--help'], capture_output=True, text=True, check=False, timeout=30).stdout
    return set(re.findall(r'--[a-z-]+', text)) | {'--help', '--version'}


def words_of(text):
    """The words of one command, up to where the shell goes on with something else."""
    text = re.sub(r'\$\([^()]*\)', 'X', text)
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=';&|')
        lexer.whitespace_split, lexer.commenters = True, ''
        words = list(lexer)
    except ValueError:
        words = text.split()
    for at, word in enumerate(words):
        if COMMAND_END.match(word) or word == '#':
            return words[:at]
    return words


def wrong_command(words, commands):
    """What is wrong with the words after `understudy`, or None."""
    at, name = 0, ''
    while at < len(words) and words[at].startswith('-'):
        if words[at].partition('=')[0] not in GLOBAL:
            return f'no option {words[at]}'
        at += 2 if words[at] in VALUES else 1
    if at == len(words):
        return None
    for length in (2, 1):
        if ' '.join(words[at:at + length]) in commands and len(words) >= at + length:
            name, at = ' '.join(words[at:at + length]), at + length
            break
    else:
        group = any(command.startswith(words[at] + ' ') for command in commands)
        rest = words[at + 1:]
        if group and (not rest or rest[0].startswith('-') or not re.match(r'^[a-z-]+$', rest[0])):
            return None  # a group of commands, such as `understudy copy`
        return f'no command "{" ".join(words[at:at + 2])}"'
    for word in words[at:]:
        if word == '--':
            break
        if re.match(r'--?[a-z]', word) and word.partition('=')[0] not in commands[name]:
            return f'"{name}" has no option {word}'
    return None


def mentions(text):
    """(line, the command's text) of every mention, in shell blocks and in code within sentences."""
    kind, pending, paragraph = None, None, []
    for number, line in enumerate([*text.splitlines(), ''], 1):
        fence = FENCE.match(line)
        if kind is None and (fence or not line.strip() or line.startswith('|')):
            for code in INLINE.findall(' '.join([*paragraph, '' if fence else line])):
                if re.match(r'understudyd? ', code):
                    yield number, re.sub(r'\s+', ' ', code)
            paragraph = []
        elif kind is None:
            paragraph.append(line)
        if fence:
            kind = fence.group(1).strip() if kind is None else None
            continue
        if kind is None:
            continue
        if kind not in SHELL:
            continue
        line, pending = (pending or '') + line.strip(), None
        if line.endswith('\\'):
            pending = line[:-1]
            continue
        if line.startswith('#'):
            continue
        for match in re.finditer(r'(?:^|[;&|(]|\$\(|-u understudy|until|while|if|\$)\s*(understudyd? .*)', line):
            rest = match.group(1)
            yield number, rest
            for further in re.finditer(r'[;&|]\s*(understudyd? .*)', rest):
                yield number, further.group(1)


def check_commands(source, understudy, understudyd):
    commands, daemon, wrong, seen = commands_of(understudy), options_of_daemon(understudyd), [], 0
    for path in documents(source):
        with open(os.path.join(source, path), encoding='utf-8') as file:
            text = file.read()
        for number, mention in mentions(text):
            words, seen = words_of(mention), seen + 1
            if words[0] in DAEMON_NAMES:
                unknown = [w for w in words[1:] if w.startswith('--') and w.partition('=')[0] not in daemon]
                found = f'no option {unknown[0]}' if unknown else None
            else:
                found = wrong_command(words[1:], commands)
            if found:
                wrong.append(f'{path}:{number}: {found}: {mention}')
    return wrong, seen


def documents(source):
    found = ['README.md', 'CONTRIBUTING.md']
    for top in ('docs', 'examples', 'packaging'):
        for folder, folders, names in os.walk(os.path.join(source, top)):
            folders[:] = [name for name in folders if name != 'design']
            found += [os.path.relpath(os.path.join(folder, name), source) for name in names if name.endswith('.md')]
    return sorted(found)


def check_runbook(source):
    with open(os.path.join(source, 'src/cluster/records.h'), encoding='utf-8') as file:
        numbers = dict(re.findall(r'\b(k\w+) = (\d+)', file.read()))
    severe = {}
    for folder, _, names in os.walk(os.path.join(source, 'src')):
        for name in names:
            if not name.endswith('.cc') or name.endswith('_test.cc'):
                continue
            with open(os.path.join(folder, name), encoding='utf-8') as file:
                for event in SEVERE.findall(file.read()):
                    severe.setdefault(numbers.get(event, event), f'{event} of src/{os.path.basename(folder)}/{name}')
    path = 'docs/operations.md'
    with open(os.path.join(source, path), encoding='utf-8') as file:
        headings = re.findall(r'^#+ (.*)$', file.read(), re.MULTILINE)
    there = set(re.findall(r'\b\d{3,4}\b', ' '.join(headings)))
    return ([f'{path}: no runbook entry for event {number} ({severe[number]})' for number in sorted(severe) if number not in there] +
            [f'{path}: a runbook entry for event {number}, which does not exist' for number in sorted(there - set(numbers.values()))]), len(severe)


def check_lists(source):
    wrong = []
    with open(os.path.join(source, 'docs/ARCHITECTURE.md'), encoding='utf-8') as file:
        architecture = file.read()
    for folder in sorted(os.listdir(os.path.join(source, 'src'))):
        if not re.search(rf'^\| \d \| `{folder}` \|', architecture, re.MULTILINE):
            wrong.append(f'docs/ARCHITECTURE.md: the table of layers has no `{folder}`')
    for folder in re.findall(r'^\| \d \| `(\w+)` \|', architecture, re.MULTILINE):
        if not os.path.isdir(os.path.join(source, 'src', folder)):
            wrong.append(f'docs/ARCHITECTURE.md: src/{folder} does not exist')
    for file in re.findall(r'`((?:src|tests|testing|bench|tools|packaging)/[\w./-]+)`', architecture):
        if not os.path.exists(os.path.join(source, file)):
            wrong.append(f'docs/ARCHITECTURE.md: {file} does not exist')
    with open(os.path.join(source, 'docs/README.md'), encoding='utf-8') as file:
        index = file.read()
    for path in documents(source):
        name = os.path.relpath(path, 'docs')
        if path.startswith('docs/') and name != 'README.md' and f']({name})' not in index:
            wrong.append(f'docs/README.md: {name} is not in it')
    return wrong


def self_test(commands):
    for text, good in (('status mail --holds', True), ('status --frob', False), ('frobnicate', False), ('copy frobnicate a', False),
                       ('-o json status', True), ('copy', True), ('backup exec mail -- tar --frob {}', True), ('db add', True)):
        if (wrong_command(words_of(text), commands) is None) != good:
            sys.exit(f'documents.py: its own check of "understudy {text}" is wrong')


def main():
    understudy, understudyd = sys.argv[1:3]
    source = os.path.abspath(sys.argv[3] if len(sys.argv) > 3 else os.path.join(os.path.dirname(__file__), '..', '..'))
    self_test(commands_of(understudy))
    wrong, seen = check_commands(source, understudy, understudyd)
    runbook, events = check_runbook(source)
    wrong += runbook + check_lists(source)
    print('\n'.join(wrong) if wrong else f'{seen} commands in documents are right; {events} events have a runbook entry')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
