#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An instance of an application beside one copy of a database; what docs/routing.md shows, for the test.

    routing_app.py PATH NAME    prints its port, then serves until it is ended

POST stores a line, GET counts them. Both answer with NAME; what SQLite refuses is a 500 with its words.
"""

import http.server
import sqlite3
import sys


class Orders(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        item = self.rfile.read(int(self.headers['Content-Length'])).decode()
        self.work(lambda orders: orders.execute('INSERT INTO orders(item) VALUES (?)', (item,)).rowcount)

    def do_GET(self):
        self.work(lambda orders: orders.execute('SELECT count(*) FROM orders').fetchone()[0])

    def work(self, action):
        try:
            orders = sqlite3.connect(sys.argv[1], timeout=10)
            with orders:
                result = action(orders)
            orders.close()
            self.answer(200, f'{sys.argv[2]} {result}')
        except sqlite3.Error as error:
            self.answer(500, f'{sys.argv[2]} {error}')

    def answer(self, code, text):
        self.send_response(code)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Orders)
server.handle_error = lambda *_: None  # HAProxy cuts connections to a server that it takes out
print(server.server_address[1], flush=True)
server.serve_forever()
