// SPDX-License-Identifier: Apache-2.0
// SupportBundle: what a report about a problem needs, in one archive: what the command's own
// questions are answered by each server that can be reached (as `-o json`), what each server tells
// of itself, and a manifest that says what could not be got and why.
//
// A server that does not answer costs kAnswerLimit for each question at most, and is not asked
// further after the first two. Limits: kServersMax, kDatabasesMax, kBytesMax for one answer.
// Threading: confined to the thread that runs the command.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/tar_writer.h"

namespace understudy::cli {

class SupportBundle {
 public:
  static constexpr size_t kServersMax = 64;
  static constexpr size_t kDatabasesMax = 100;
  static constexpr size_t kAnswerBytesMax = 4 << 20;
  static constexpr base::Duration kAnswerLimit = std::chrono::seconds(5);

  SupportBundle(Context& context, base::WallTime now) : context_(context), tar_(now) {}

  base::Status Collect();
  // Adds the manifest. Called once, after Collect.
  base::Result<base::Bytes> Finish();

  const Json& entries() const { return entries_; }
  size_t failed() const { return failed_; }

 private:
  struct Server {
    std::string name;
    std::string address;
    int silent = 0;  // questions in a row that it did not answer
  };
  void AskGroup();
  void AskDatabase(const std::string& name);
  void AskServer(Server& server);
  void AskFacts(Server& server);
  // Runs a command of ours; false when the server could not be reached.
  bool Ask(const std::string& file, const std::vector<std::string>& command,
           const std::string& address);
  void Add(const std::string& file, std::string text);
  void Note(const std::string& file, const std::string& what, const base::Status& status);

  Context& context_;
  TarWriter tar_;
  Json entries_ = Json::array();
  size_t failed_ = 0;
};

}  // namespace understudy::cli
