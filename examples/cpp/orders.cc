// SPDX-License-Identifier: Apache-2.0
// An application beside one copy of the database "orders": stock SQLite, nothing of Understudy
// (../README.md).
//
//   c++ -std=c++20 orders.cc -o orders -lsqlite3 -lcpp-httplib && ./orders DATABASE HOST:PORT
//
// POST / stores its body as an order, GET / counts the orders. The database is opened for each
// request, by the thread that answers it; a write that a passive copy refuses is answered with
// 503, and whoever asked tries again.
#include <httplib.h>
#include <sqlite3.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace {

constexpr int kBusyMillisecondsMax = 5000;
constexpr size_t kBodyBytesMax = 1 << 20;

using Connection = std::unique_ptr<sqlite3, decltype(&sqlite3_close)>;
using Statement = std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)>;

// Throws SQLite's words.
Connection Open(const std::string& path) {
  sqlite3* opened = nullptr;
  // Without SQLITE_OPEN_CREATE: a database that is not there is an error, not a new empty one.
  const int code = sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
  Connection connection(opened, &sqlite3_close);
  if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(opened));
  sqlite3_busy_timeout(opened, kBusyMillisecondsMax);
  return connection;
}

Statement Prepare(sqlite3* connection, const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(connection, sql, -1, &prepared, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(connection));
  }
  return {prepared, &sqlite3_finalize};
}

std::string Store(const std::string& path, const std::string& item) {
  const Connection orders = Open(path);
  const Statement insert = Prepare(orders.get(), "INSERT INTO orders(item) VALUES (?)");
  sqlite3_bind_text(insert.get(), 1, item.data(), static_cast<int>(item.size()), SQLITE_STATIC);
  if (sqlite3_step(insert.get()) != SQLITE_DONE)
    throw std::runtime_error(sqlite3_errmsg(orders.get()));
  return "stored\n";
}

std::string Count(const std::string& path) {
  const Connection orders = Open(path);
  const Statement count = Prepare(orders.get(), "SELECT count(*) FROM orders");
  if (sqlite3_step(count.get()) != SQLITE_ROW)
    throw std::runtime_error(sqlite3_errmsg(orders.get()));
  return std::to_string(sqlite3_column_int64(count.get(), 0)) + " orders\n";
}

template <typename Work>
void Answer(httplib::Response& response, Work work) {
  try {
    response.set_content(work(), "text/plain");
  } catch (
      const std::runtime_error& error) {  // read-only, busy, away: it may be another server's turn
    response.status = 503;
    response.set_content(std::string(error.what()) + "\n", "text/plain");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string path = argv[1], address = argv[2];
  httplib::Server server;
  server.set_payload_max_length(kBodyBytesMax);
  server.Post("/", [&](const httplib::Request& request, httplib::Response& response) {
    Answer(response, [&] { return Store(path, request.body); });
  });
  server.Get("/", [&](const httplib::Request&, httplib::Response& response) {
    Answer(response, [&] { return Count(path); });
  });
  const size_t colon = address.rfind(':');
  return server.listen(address.substr(0, colon), std::stoi(address.substr(colon + 1))) ? 0 : 1;
}
