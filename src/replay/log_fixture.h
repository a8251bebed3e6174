// SPDX-License-Identifier: Apache-2.0
// For tests and benchmarks: an active database written with SQL on the real disk, its log, and the
// oracle of what the database was after each record. No capture is involved: what a record holds is
// found by comparing the whole file with what it was before.
// Threading: thread-compatible.
#pragma once

#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "log/checkpoint_file.h"
#include "log/log_store.h"
#include "log/record_encoder.h"
#include "sqlite/connection.h"
#include "testing/temp_dir.h"

namespace understudy::replay::test {

using Images = std::map<uint32_t, base::Bytes>;  // by page number

class LogFixture final : public log::PartSink {
 public:
  explicit LogFixture(uint32_t page_size = 4096) {
    for (size_t i = 0; i < id_.bytes.size(); ++i) id_.bytes[i] = static_cast<uint8_t>(i + 1);
    auto opened = sqlite::Connection::Open(active_path(), {.create = true, .vfs = ""});
    CHECK(opened.ok());
    db_ = std::move(opened).value();
    Sql("PRAGMA page_size=" + std::to_string(page_size));
    Sql("PRAGMA journal_mode=WAL");
    Sql("PRAGMA synchronous=OFF");
    Sql("CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, body BLOB)");
    Sql("CREATE INDEX t_k ON t(k)");
    Insert(50);
    page_size_ = page_size;
    ReadActive();
    for (const auto& [page, image] : images_)
      table_.Set(base::PageNo(page), log::HashPage(base::PageNo(page), image));
    auto store =
        log::LogStore::Open(env::PosixEnv(), {.directory = dir_.File("log"), .database = id_});
    CHECK(store.ok());
    log_ = std::move(store).value();
    encoder_ = std::make_unique<log::RecordEncoder>(
        log::RecordEncoder::Options{.database = id_, .page_size = page_size},
        [](base::PageNo, std::span<uint8_t>) { return false; });
    Record(log::kRecordMount, {});
    start_ = {.database = id_, .at = log_->end(), .table = table_};
    start_images_ = images_;
  }

  void Sql(const std::string& sql) {
    const auto status = db_->Execute(sql);
    if (!status.ok()) base::CheckFailed(status.ToString().c_str(), __FILE__, __LINE__);
  }
  void Insert(int rows, int body = 400) {
    Sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
        std::to_string(rows) +
        ") INSERT INTO t(k, body) SELECT abs(random()) % 100000, randomblob(" +
        std::to_string(body) + ") FROM n");
  }
  // A record that does not say that page 3 has changed, as a copy with another history has.
  void CaptureDiverging() {
    hidden_change_ = base::PageNo(3);
    Capture();
    hidden_change_ = base::PageNo(0);
  }
  // One record of whatever changed since the last one.
  void Capture() {
    const Images before = std::move(images_);
    ReadActive();
    Images changed;
    for (const auto& [page, image] : images_) {
      const auto old = before.find(page);
      if (old == before.end() || old->second != image) changed.emplace(page, image);
    }
    Record(0, changed);
  }
  void Mount() {
    ++term_.value;
    Record(log::kRecordMount, {});
  }
  // Some of everything a database does, one record each.
  void Workload(int records) {
    for (int i = 0; i < records; ++i) {
      if (i % 10 == 4) Sql("DELETE FROM t WHERE id % 3 = 0");
      if (i % 25 == 24) Sql("VACUUM");
      if (i % 17 == 16) Mount();
      Insert(i % 10 == 7 ? 150 : 3);
      Capture();
    }
  }

  // Writes the database as it was at start() to `path`, and its checkpoint file.
  void Seed(env::Env& env, const std::string& path, const std::string& checkpoint_path) {
    base::Bytes all;
    for (const auto& [page, image] : start_images_) base::AppendBytes(all, image);
    CHECK(env::WriteFileAtomically(env, path, all).ok());
    CHECK(log::SaveCheckpoint(env, checkpoint_path, start_).ok());
  }

  log::LogStore& log() { return *log_; }
  base::DatabaseId id() const { return id_; }
  const log::Checkpoint& start() const { return start_; }
  const Images& images() const { return images_; }  // after the last record
  const log::PageTable& table() const { return table_; }
  // The database checksum after each record, by seq.
  const std::map<uint64_t, uint64_t>& checksums() const { return checksums_; }
  std::string File(const std::string& name) const { return dir_.File(name); }
  std::string active_path() const { return dir_.File("active.db"); }

  // Makes a record of `changed` as it stands.
  void Record(uint16_t flags, const Images& changed) {
    ++seq_.value;
    const auto pages = static_cast<uint32_t>(images_.size());
    encoder_->Begin({.flags = flags,
                     .term = term_,
                     .seq_first = seq_,
                     .seq_last = seq_,
                     .commit_time = {static_cast<int64_t>(1'700'000'000'000 + seq_.value)},
                     .pages_after = pages,
                     .source = {}},
                    table_, *this);
    for (const auto& [page, image] : changed) Check(encoder_->AddPage(base::PageNo(page), image));
    if (hidden_change_.value != 0) table_.Set(hidden_change_, ~table_.HashOf(hidden_change_));
    Check(encoder_->Finish());
    Check(log_->Sync());
    checksums_[seq_.value] = table_.checksum();
  }

  base::Status OnPart(const log::PartHeader&, base::ByteView part) override {
    return log_->Append(part);
  }

 private:
  static void Check(const base::Status& status) {
    if (!status.ok()) base::CheckFailed(status.ToString().c_str(), __FILE__, __LINE__);
  }
  void ReadActive() {
    CHECK(db_->Checkpoint("TRUNCATE").ok());
    std::ifstream file(active_path(), std::ios::binary);
    images_.clear();
    for (uint32_t page = 1;; ++page) {
      base::Bytes image(page_size_);
      if (!file.read(reinterpret_cast<char*>(image.data()), page_size_)) break;
      images_.emplace(page, std::move(image));
    }
  }

  understudy::test::TempDir dir_;
  base::DatabaseId id_;
  std::unique_ptr<sqlite::Connection> db_;
  uint32_t page_size_ = 0;
  std::unique_ptr<log::LogStore> log_;
  std::unique_ptr<log::RecordEncoder> encoder_;
  log::PageTable table_;
  Images images_;
  log::Checkpoint start_;
  Images start_images_;
  base::PageNo hidden_change_;
  base::Term term_{1};
  base::Seq seq_{0};
  std::map<uint64_t, uint64_t> checksums_;
};

}  // namespace understudy::replay::test
