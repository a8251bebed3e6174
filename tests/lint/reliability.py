#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every test that docs/reliability.md and docs/planted-bugs.md name exists, and each behaviour has a row.

    reliability.py [ROOT]

A test is named `path::Suite.Name` in C++, `path::Class.method` or `path::function` in Python.
"""

import os
import re
import sys

DOCUMENTS = ("docs/reliability.md", "docs/planted-bugs.md")
BEHAVIOURS = 40
NAMED = re.compile(r"`([\w/.]+\.(?:cc|py))::([\w.]+)`")


def holds(text, path, name):
    if path.endswith(".cc"):
        suite, _, test = name.partition(".")
        return re.search(rf"^TEST(?:_F|_P)?\(\s*{re.escape(suite)},\s*{re.escape(test)}\)", text, re.MULTILINE)
    owner, _, method = name.rpartition(".")
    if not owner:
        return re.search(rf"^def {re.escape(method)}\(", text, re.MULTILINE)
    body = re.search(rf"^class {re.escape(owner)}\b.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return body and re.search(rf"^    def {re.escape(method)}\(", body.group(), re.MULTILINE)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    texts, wrong, count = {}, [], 0
    for document in DOCUMENTS:
        with open(os.path.join(root, document), encoding="utf-8") as file:
            content = file.read()
        if document == DOCUMENTS[0]:
            rows = [int(number) for number in re.findall(r"^\| (\d+) \|", content, re.MULTILINE)]
            if rows != list(range(1, BEHAVIOURS + 1)):
                wrong.append(f"{document}: the rows are {rows}")
        for path, name in NAMED.findall(content):
            count += 1
            full = os.path.join(root, path)
            if path not in texts and os.path.exists(full):
                with open(full, encoding="utf-8") as file:
                    texts[path] = file.read()
            if path not in texts or not holds(texts[path], path, name):
                wrong.append(f"{document}: there is no {path}::{name}")
    for line in wrong:
        print(line)
    print(f"{count} names of tests were looked up, {len(wrong)} are wrong")
    return 1 if wrong or count < BEHAVIOURS else 0


if __name__ == "__main__":
    sys.exit(main())
