#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An application beside one copy of the database "orders": stock SQLite, nothing of Understudy.

    orders.py DATABASE HOST:PORT

POST / stores its body as an order, GET / counts the orders. The same program runs on every server; a load balancer
sends writes to the one whose copy is mounted (docs/routing.md). The database is opened for each request, so that what
a switchover changes is seen by the next one. SQLite's refusal of a write on a passive copy is answered with 503: whoever
asked tries again, and by then the load balancer knows the new active copy.
"""

import http.server
import sqlite3
import sys
from contextlib import closing

BUSY_SECONDS_MAX = 5


class Orders(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        item = self.rfile.read(int(self.headers['Content-Length'])).decode()
        self.answer(lambda orders: orders.execute('INSERT INTO orders(item) VALUES (?)', (item,)) and 'stored')

    def do_GET(self):
        self.answer(lambda orders: f"{orders.execute('SELECT count(*) FROM orders').fetchone()[0]} orders")

    def answer(self, work):
        try:
            # mode=rw: a database that is not there is an error, not a new empty one.
            uri = f'file:{sys.argv[1]}?mode=rw'
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS_MAX)) as orders, orders:
                text = work(orders)
            code = 200
        except sqlite3.OperationalError as error:  # read-only, busy, away: it may be another server's turn
            code, text = 503, str(error)
        body = f'{text}\n'.encode()
        self.send_response(code)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == '__main__':
    host, _, port = sys.argv[2].rpartition(':')
    http.server.ThreadingHTTPServer((host, int(port)), Orders).serve_forever()
