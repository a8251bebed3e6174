/* SPDX-License-Identifier: Apache-2.0
 * A writer for torture_test.py in another language, linked with another version of SQLite than the daemon's:
 *
 *     sqlite_writer DATABASE NUMBER SEED JOURNAL
 *
 * Commits for ever what the Python writer there commits, with every kind of checkpoint, VACUUM and reconnects, and
 * appends the number of each acknowledged transaction to JOURNAL. Ends with 1 and a message on an error that is
 * not SQLITE_BUSY.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t state;
static uint32_t Random(uint32_t below) { /* SplitMix64 */
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (uint32_t)((z ^ (z >> 31)) % below);
}

static int Run(sqlite3* db, const char* sql) {
  const int code = sqlite3_exec(db, sql, 0, 0, 0);
  if (code != SQLITE_OK && code != SQLITE_BUSY) {
    fprintf(stderr, "%s: %s (SQLite %s)\n", sql, sqlite3_errmsg(db), sqlite3_libversion());
    exit(1);
  }
  return code;
}

static sqlite3* Connect(const char* path) {
  sqlite3* db = 0;
  if (sqlite3_open(path, &db) != SQLITE_OK) {
    fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(db));
    exit(1);
  }
  sqlite3_busy_timeout(db, 60000);
  Run(db, Random(2) ? "pragma synchronous=full" : "pragma synchronous=normal");
  return db;
}

static long Done(sqlite3* db, int number) {
  sqlite3_stmt* statement = 0;
  long n = -1;
  if (sqlite3_prepare_v2(db, "select coalesce(max(n), 0) from done where writer=?", -1, &statement, 0) == SQLITE_OK) {
    sqlite3_bind_int(statement, 1, number);
    if (sqlite3_step(statement) == SQLITE_ROW) n = (long)sqlite3_column_int64(statement, 0);
  }
  sqlite3_finalize(statement);
  return n;
}

static int Transaction(sqlite3* db, int number, long n) {
  static const int kRows[] = {1, 1, 1, 5, 60};
  static const int kBytes[] = {20, 200, 3000, 9000};
  char sql[256];
  if (Run(db, "begin immediate") != SQLITE_OK) return 0;
  for (int i = kRows[Random(5)]; i > 0; --i) {
    const unsigned key = Random(6000);
    if (Random(100) < 15) {
      snprintf(sql, sizeof sql, "delete from t where a between %u and %u", key, key + Random(20));
    } else {
      snprintf(sql, sizeof sql, "insert or replace into t values(%u,%u,randomblob(%d))", key, Random(1000),
               kBytes[Random(4)]);
    }
    Run(db, sql);
  }
  snprintf(sql, sizeof sql, "insert into done values(%d,%ld)", number, n);
  Run(db, sql);
  if (Random(100) < 5) {
    Run(db, "rollback");
    return 0;
  }
  if (Run(db, "commit") == SQLITE_OK) return 1;
  Run(db, "rollback");
  return 0;
}

int main(int count, char** words) {
  static const char* const kCheckpoints[] = {"pragma wal_checkpoint(passive)", "pragma wal_checkpoint(full)",
                                             "pragma wal_checkpoint(restart)", "pragma wal_checkpoint(truncate)"};
  if (count != 5) return fprintf(stderr, "usage: sqlite_writer DATABASE NUMBER SEED JOURNAL\n"), 2;
  const int number = atoi(words[2]);
  state = strtoull(words[3], 0, 10);
  const int journal = open(words[4], O_WRONLY | O_CREAT | O_APPEND, 0644);
  sqlite3* db = Connect(words[1]);
  for (;;) { /* until killed */
    const long n = Done(db, number) + 1;
    if (n > 0 && Transaction(db, number, n)) {
      char line[32];
      const int bytes = snprintf(line, sizeof line, "%ld\n", n);
      if (write(journal, line, (size_t)bytes) != bytes) return 1;
    }
    const uint32_t x = Random(1000);
    if (x < 30) {
      Run(db, kCheckpoints[Random(4)]);
    } else if (x < 35) {
      Run(db, "vacuum");
    } else if (x < 50) {
      sqlite3_close(db);
      db = Connect(words[1]);
    }
  }
}
