// SPDX-License-Identifier: Apache-2.0
// An application beside one copy of the database "orders": stock SQLite, nothing of Understudy (../README.md).
//
//   npm install better-sqlite3 && node orders.js DATABASE HOST:PORT
//
// POST / stores its body as an order, GET / counts the orders. The database is opened for each request; a write that a
// passive copy refuses is answered with 503, and whoever asked tries again.
'use strict';

const http = require('node:http');
const Database = require('better-sqlite3');

const BUSY_MS_MAX = 5000;
const BODY_BYTES_MAX = 1 << 20;
const [path, address] = process.argv.slice(2);

function withOrders(work) {
  // fileMustExist: a database that is not there is an error, not a new empty one.
  const orders = new Database(path, { fileMustExist: true, timeout: BUSY_MS_MAX });
  try {
    return work(orders);
  } finally {
    orders.close();
  }
}

function answer(response, work) {
  let code = 200;
  let text;
  try {
    text = withOrders(work);
  } catch (error) { // read-only, busy, away: it may be another server's turn
    [code, text] = [503, error.message];
  }
  response.writeHead(code).end(`${text}\n`);
}

const store = (item) => (orders) => {
  orders.prepare('INSERT INTO orders(item) VALUES (?)').run(item);
  return 'stored';
};
const count = (orders) => `${orders.prepare('SELECT count(*) AS n FROM orders').get().n} orders`;

const server = http.createServer((request, response) => {
  if (request.method !== 'POST') return answer(response, count);
  let item = '';
  request.setEncoding('utf8');
  request.on('data', (part) => {
    item += part;
    if (item.length > BODY_BYTES_MAX) request.destroy();
  });
  request.on('end', () => answer(response, store(item)));
});
const colon = address.lastIndexOf(':');
server.listen(Number(address.slice(colon + 1)), address.slice(0, colon));
