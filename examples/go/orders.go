// SPDX-License-Identifier: Apache-2.0

// An application beside one copy of the database "orders": stock SQLite, nothing of Understudy (../README.md).
//
//	orders DATABASE HOST:PORT
//
// POST / stores its body as an order, GET / counts the orders. The database is opened for each request; a write that a
// passive copy refuses is answered with 503, and whoever asked tries again.
package main

import (
	"database/sql"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	_ "github.com/mattn/go-sqlite3"
)

const (
	busyMillisecondsMax = 5000
	bodyBytesMax        = 1 << 20
)

func store(orders *sql.DB, item string) (string, error) {
	_, err := orders.Exec("INSERT INTO orders(item) VALUES (?)", item)
	return "stored", err
}

func count(orders *sql.DB) (string, error) {
	var n int
	err := orders.QueryRow("SELECT count(*) FROM orders").Scan(&n)
	return fmt.Sprintf("%d orders", n), err
}

func handle(path string, response http.ResponseWriter, request *http.Request) (string, error) {
	// mode=rw: a database that is not there is an error, not a new empty one.
	orders, err := sql.Open("sqlite3", fmt.Sprintf("file:%s?mode=rw&_busy_timeout=%d", path, busyMillisecondsMax))
	if err != nil {
		return "", err
	}
	defer orders.Close()
	if request.Method != http.MethodPost {
		return count(orders)
	}
	item, err := io.ReadAll(http.MaxBytesReader(response, request.Body, bodyBytesMax))
	if err != nil {
		return "", err
	}
	return store(orders, string(item))
}

func main() {
	path, address := os.Args[1], os.Args[2]
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		text, err := handle(path, response, request)
		if err != nil { // read-only, busy, away: it may be another server's turn
			response.WriteHeader(http.StatusServiceUnavailable)
			text = err.Error()
		}
		fmt.Fprintln(response, text)
	})
	log.Fatal(http.ListenAndServe(address, nil))
}
