<?php
// SPDX-License-Identifier: Apache-2.0
// An application beside one copy of the database "orders": stock SQLite, nothing of Understudy (../README.md).
//
//   ORDERS_DATABASE=DATABASE php -S HOST:PORT orders.php
//
// POST / stores its body as an order, GET / counts the orders. PHP opens the database for each request; a write that a
// passive copy refuses is answered with 503, and whoever asked tries again.

const BUSY_MS_MAX = 5000;

try {
    // Without SQLITE3_OPEN_CREATE: a database that is not there is an error, not a new empty one.
    $orders = new SQLite3(getenv('ORDERS_DATABASE'), SQLITE3_OPEN_READWRITE);
    $orders->enableExceptions(true);
    $orders->busyTimeout(BUSY_MS_MAX);
    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        $insert = $orders->prepare('INSERT INTO orders(item) VALUES (?)');
        $insert->bindValue(1, file_get_contents('php://input'));
        $insert->execute();
        echo "stored\n";
    } else {
        echo $orders->querySingle('SELECT count(*) FROM orders'), " orders\n";
    }
} catch (Exception $error) {  // read-only, busy, away: it may be another server's turn
    http_response_code(503);
    echo $error->getMessage(), "\n";
}
