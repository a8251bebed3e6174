#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backups in a bucket of a real S3 server process, over a network that fails.

The server is s3rver (npm). It does not compare signatures of version 4 and knows no If-None-Match, so a gate stands
before it that does: it computes each request's signature and body hash anew, answers some requests
with 503 "SlowDown", and drops some connections after the request was carried out.

usage: s3_test.py BACKUP_TOOL CACHE_DIRECTORY
Exit code 77: skipped, because npm is not there or the package cannot be had.
"""
import filecmp
import hashlib
import hmac
import http.client
import http.server
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from npm_package import installed

PACKAGE, VERSION = "s3rver", "3.7.1"
STEP_SECONDS_MAX = 120
ACCESS, SECRET = "S3RVER", "S3RVER"  # the server's own
REGION, BUCKET = "eu-test-1", "backups"
TAKES_OVER_WITHIN = 60  # the lease of a lock is 300
SLOW_EVERY, LOST_EVERY = 20, 31


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def signature(request, headers, body_hash):
    """What AWS Signature Version 4 makes of a request, from its description alone."""
    path, _, query = request.path.partition("?")
    fields = dict(part.split("=", 1) for part in headers["Authorization"].split(" ", 1)[1].replace(" ", "").split(","))
    scope = fields["Credential"].split("/", 1)[1]
    date = scope.split("/")[0]
    pairs = sorted(part if "=" in part else part + "=" for part in query.split("&") if part)
    signed = fields["SignedHeaders"].split(";")
    lines = "".join(f"{name}:{' '.join((headers[name] or '(not sent)').split())}\n" for name in signed)
    canonical = "\n".join([request.command, path, "&".join(pairs), lines, ";".join(signed), body_hash])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET).encode()
    for part in (date, REGION, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), fields["Signature"]


class Gate(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_port_behind = 0
    lock = threading.Lock()
    seen = refused = slowed = lost = 0
    hold = None  # while set, uploads of data wait for it; `held` tells that one does
    held = threading.Event()

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        sent = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in sent:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>the gate says so</Message></Error>".encode())

    def pass_on(self, body):
        behind = http.client.HTTPConnection("127.0.0.1", Gate.server_port_behind, timeout=STEP_SECONDS_MAX)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "if-none-match", "expect")}
        behind.request(self.command, self.path, body=body or None, headers=headers)
        answer = behind.getresponse()
        content = answer.read()
        kept = [(k, v) for k, v in answer.getheaders()
                if k.lower() not in ("connection", "transfer-encoding", "keep-alive", "date")
                and (k.lower() != "content-length" or self.command == "HEAD")]
        behind.close()
        return answer.status, content, kept

    def exists(self):
        behind = http.client.HTTPConnection("127.0.0.1", Gate.server_port_behind, timeout=STEP_SECONDS_MAX)
        url = self.path.partition("?")[0].split("/", 2)[2]
        # s3rver compares no signatures of version 4, but wants one there.
        behind.request("HEAD", self.path.partition("?")[0], headers={
            k: v for k, v in self.headers.items() if k.lower() in ("authorization", "x-amz-date", "x-amz-content-sha256", "host")})
        status = behind.getresponse().status
        behind.close()
        return bool(url) and status == 200

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hold = Gate.hold
        if hold is not None and self.command == "PUT" and "/ltx/" in self.path:
            Gate.held.set()
            hold.wait(STEP_SECONDS_MAX)
            self.close_connection = True
            return None
        with Gate.lock:  # one at a time: so If-None-Match decides
            Gate.seen += 1
            body_hash = hashlib.sha256(body).hexdigest()
            ours, theirs = signature(self, self.headers, body_hash)
            if ours != theirs or self.headers["x-amz-content-sha256"] != body_hash:
                Gate.refused += 1
                return self.error(403, "SignatureDoesNotMatch")
            if Gate.seen % SLOW_EVERY == 0:
                Gate.slowed += 1
                return self.error(503, "SlowDown")
            if self.headers.get("If-None-Match") == "*" and self.exists():
                return self.error(412, "PreconditionFailed")
            status, content, headers = self.pass_on(body)
            if Gate.seen % LOST_EVERY == 0:
                Gate.lost += 1
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return None
        return self.answer(status, content, headers)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve


def make_database(path, rows):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS mail(id INTEGER PRIMARY KEY, noise BLOB)")
    with db:
        db.executemany("INSERT INTO mail(noise) VALUES (randomblob(?))", ((3000,) for _ in range(rows)))
    db.close()


class Test:
    def __init__(self, tool, directory, endpoint):
        self.tool, self.directory, self.endpoint = tool, directory, endpoint

    def run(self, *arguments, secret=SECRET, fails=False):
        environment = {**os.environ, "S3_ENDPOINT": self.endpoint, "S3_REGION": REGION,
                       "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": secret}
        environment.pop("AWS_SESSION_TOKEN", None)
        done = subprocess.run([self.tool, *arguments], capture_output=True, text=True, env=environment,
                              timeout=STEP_SECONDS_MAX, check=False)
        if (done.returncode != 0) != fails:
            raise AssertionError(f"{arguments}: {done.stdout} {done.stderr.strip()}")
        assert secret not in done.stdout + done.stderr or secret == ACCESS
        return done.stderr if fails else done.stdout

    def check(self):
        repository, database = f"s3://{BUCKET}/some/where", os.path.join(self.directory, "mail.db")
        make_database(database, 4500)  # more than two parts
        full = json.loads(self.run("backup", repository, "mail", database, "10", "full"))
        assert full["bytes_stored"] > 2 * 5 * 1024 * 1024, full["bytes_stored"]
        make_database(database, 10)
        increment = json.loads(self.run("backup", repository, "mail", database, "20", "incremental"))
        output = os.path.join(self.directory, "restored.db")
        self.run("restore", repository, "mail", output)
        assert filecmp.cmp(database, output, shallow=False), "what was restored differs"
        for backup in (full, increment):
            self.run("verify", repository, "mail", backup["id"])
        said = self.run("verify", repository, "mail", full["id"], secret="anotherkey", fails=True)
        assert "status 403" in said and "credentials" in said, said
        print(f"{full['bytes_stored']} bytes in parts, an increment of {increment['bytes_stored']}; restored equal; "
              f"{Gate.seen} requests, {Gate.slowed} slowed down, {Gate.lost} answers lost, "
              f"{Gate.refused} refused signatures")
        assert Gate.slowed > 2 and Gate.lost > 2 and Gate.refused > 0


def check_group(understudy, directory, endpoint):
    """The same through a group's daemons and the command: backups, list, verify, restores."""
    lab, database = os.path.join(directory, "lab"), os.path.join(directory, "shop.db")
    location = f"s3://{BUCKET}/group?endpoint={endpoint}&region={REGION}&path-style=yes"
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "UNDERSTUDY_LAB": lab, "UNDERSTUDY_SERVER": "s1"}
    environment.pop("AWS_SESSION_TOKEN", None)

    def run(*arguments):
        done = subprocess.run([understudy, *arguments], capture_output=True, text=True, env=environment,
                              timeout=STEP_SECONDS_MAX, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stdout} {done.stderr.strip()}")
        assert SECRET not in done.stdout + done.stderr
        return done.stdout

    run("lab", "up", "--servers", "2")
    try:
        make_database(database, 200)
        run("db", "add", "shop", database, "--copies", "s2")
        run("wait", "shop", "--replayed")
        full = json.loads(run("backup", "run", "shop", "--to", location, "-o", "json"))["backup"]
        make_database(database, 5)
        run("wait", "shop", "--replayed")
        run("backup", "run", "shop", "--to", location, "--type", "incremental")
        listed = json.loads(run("backup", "list", "shop", "--repo", location, "-o", "json"))["backups"]
        assert len(listed) == 2 and full["server"] == "s2", listed
        run("backup", "verify", "shop", "--repo", location)
        output = os.path.join(directory, "shop-restored.db")
        run("restore", "--repo", location, "--db", "shop", "--output", output, "--check")
        count = "SELECT count(*) FROM mail"
        assert sqlite3.connect(output).execute(count).fetchone() == (205,)
        run("restore", "--in-place", "--repo", location, "--db", "shop", "--backup", full["id"], "--yes")
        assert sqlite3.connect(database).execute(count).fetchone() == (200,)
        assert len(json.loads(run("backup", "list", "shop", "--repo", location, "-o", "json"))["backups"]) == 3
        print("a group's backups in a bucket: taken, listed, verified, restored to a file and in place")
        check_kill(run, understudy, environment, location)
        check_encryption(run, directory, location.replace("/group?", "/sealed?"))
    finally:
        run("lab", "down")


def check_kill(run, understudy, environment, location):
    """A daemon is killed while it uploads: it is the one that had the lock, so it waits for nobody afterwards."""
    def listed():
        return len(json.loads(run("backup", "list", "shop", "--repo", location, "-o", "json"))["backups"])

    before = listed()
    Gate.held.clear()
    Gate.hold = threading.Event()
    backup = subprocess.Popen([understudy, "backup", "run", "shop", "--to", location, "--from", "s2"], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert Gate.held.wait(STEP_SECONDS_MAX), "no data was uploaded"
        backup.kill()  # it would ask for a backup of another copy
        run("lab", "kill", "s2")
    finally:
        backup.kill()
        backup.wait()
        Gate.hold.set()
        Gate.hold = None
    began = time.monotonic()
    run("lab", "start", "s2")
    while listed() == before:
        assert time.monotonic() - began < TAKES_OVER_WITHIN, "it waits for the lock of its own former process"
        threading.Event().wait(0.2)
    print(f"a daemon that was killed while it uploaded had its backup {time.monotonic() - began:.1f} s after its start")


def check_encryption(run, directory, location):
    """A repository with a name and a key: nobody without the key reads it, and with it everything goes as before."""
    key, output = os.path.join(directory, "backup.key"), os.path.join(directory, "unsealed.db")
    made = json.loads(run("repository", "make-key", key, "-o", "json"))
    assert os.stat(key).st_mode & 0o777 == 0o600
    run("repository", "add", "sealed", location, "--key", key, "--rate", "200MiB", "--keep-full", "1")
    run("backup", "run", "shop", "--to", "sealed")
    run("backup", "run", "shop", "--to", "sealed", "--type", "incremental")
    run("backup", "run", "shop", "--to", "sealed")
    assert json.loads(run("backup", "prune", "shop", "--repo", "sealed", "-o", "json"))["removed"] == 2
    run("backup", "verify", "shop", "--repo", "sealed")
    assert json.loads(run("backup", "drill", "shop", "--repo", "sealed", "-o", "json"))["drill"]["drill"] == "Good"
    run("restore", "--repo", "sealed", "--db", "shop", "--output", output, "--check")
    try:
        run("restore", "--repo", location, "--db", "shop", "--output", output, "--force")
        raise RuntimeError("it was read without the key")
    except AssertionError as refused:
        assert f"is encrypted with the key {made['key']}" in str(refused), refused
    change_key(run, directory, key)
    os.chmod(key, 0o644)
    try:
        run("backup", "list", "shop", "--repo", "sealed")
        raise RuntimeError("others can read the key")
    except AssertionError as refused:
        assert "chmod 600" in str(refused), refused
    stored = stored_in(directory, "sealed")
    sealed = sum(content.startswith(b"USSEAL1\n") for content in stored)
    assert sealed > 4 and len(stored) == sealed + 1, (sealed, len(stored))
    # What every database has in it is found where nothing is encrypted, and only there.
    known = b"CREATE TABLE"
    assert any(known in content for content in stored_in(directory, "group"))
    assert not any(known in content for content in stored)
    print(f"an encrypted repository: {sealed} objects sealed, its mark in the clear; refused without the key; "
          "its key was changed and the old one thrown away")


def stored_in(directory, prefix):
    """The bytes of all objects, as the server of the bucket has them."""
    stored = []
    for folder, _, names in os.walk(os.path.join(directory, "data", BUCKET, prefix)):
        for name in names:
            if name.endswith("._S3rver_object"):
                with open(os.path.join(folder, name), "rb") as content:
                    stored.append(content.read())
    return stored


def change_key(run, directory, key):
    """A new key on top of the file; once its backups are all that is left, the old one can go."""
    new, output = os.path.join(directory, "new.key"), os.path.join(directory, "rekeyed.db")
    run("repository", "make-key", new)
    with open(key, encoding="utf-8") as old_text, open(new, encoding="utf-8") as new_text:
        old_lines, new_lines = old_text.read(), new_text.read()

    def write(lines):
        with open(key, "w", encoding="utf-8") as file:
            file.write(lines)

    write(new_lines + old_lines)
    run("backup", "verify", "shop", "--repo", "sealed")
    # At the same position a backup would use the file that is there, with the old key.
    make_database(os.path.join(directory, "shop.db"), 5)
    run("wait", "shop", "--replayed")
    run("backup", "run", "shop", "--to", "sealed")
    run("backup", "prune", "shop", "--repo", "sealed")
    write(new_lines)
    run("backup", "verify", "shop", "--repo", "sealed")
    run("restore", "--repo", "sealed", "--db", "shop", "--output", output, "--check")
    run("backup", "run", "shop", "--to", "sealed", "--type", "incremental")


def main():
    tool, cache, understudy = sys.argv[1:4]
    program = installed(cache, PACKAGE, VERSION, os.path.join("bin", "s3rver.js"))
    with tempfile.TemporaryDirectory(prefix="understudy-s3-") as directory:
        Gate.server_port_behind = free_port()
        log = open(os.path.join(directory, "s3rver.log"), "w", encoding="utf-8")
        behind = subprocess.Popen(
            ["node", program, "--directory", os.path.join(directory, "data"), "--port", str(Gate.server_port_behind),
             "--configure-bucket", BUCKET], stdout=log, stderr=log)
        gate = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
        threading.Thread(target=gate.serve_forever, daemon=True).start()
        try:
            end = time.monotonic() + STEP_SECONDS_MAX
            while True:
                try:
                    socket.create_connection(("127.0.0.1", Gate.server_port_behind), timeout=1).close()
                    break
                except OSError:
                    if behind.poll() is not None or time.monotonic() > end:
                        raise AssertionError("s3rver does not start: " + open(log.name, encoding="utf-8").read()) from None
                    threading.Event().wait(0.1)
            endpoint = f"http://127.0.0.1:{gate.server_address[1]}"
            Test(tool, directory, endpoint).check()
            check_group(understudy, directory, endpoint)
        finally:
            gate.shutdown()
            behind.kill()
            behind.wait()
            log.close()


main()
