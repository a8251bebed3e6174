// SPDX-License-Identifier: Apache-2.0
#include "backup/verify.h"

#include "backup/stored_chain.h"
#include "base/planted.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kMethodVerify =
    "read from disk: file hash, every page, file checksum, database checksum";

base::Status Check(Executor& executor, const Repository& repository, const BackupDocument& document,
                   const base::ProgressSink& progress) {
  if (PLANTED("verify-says-yes")) return {};
  ASSIGN_OR_RETURN(BackupChain chain, ChainOf(repository, document));
  ASSIGN_OR_RETURN(const auto stored,
                   StoredChain::Open(repository, std::move(chain), /*from_disk=*/true));
  return stored->Scan(executor, {.phase = "verifying", .progress = progress, .sink = {}});
}

// True when it is in the document on disk.
bool Record(const Repository& repository, const BackupDocument& document) {
  const auto lock = repository.LockDatabase(document.database_name, /*take_over=*/false);
  return lock.ok() && repository.Rewrite(document).ok();
}

}  // namespace

VerifyResult VerifyBackup(env::Env& env, Executor& executor, const Repository& repository,
                          const std::string& database, const std::string& id,
                          const VerifyOptions& options) {
  VerifyResult result;
  auto document = repository.Find(database, id);
  if (!document.ok()) {
    result.status = document.status();
    return result;
  }
  result.document = std::move(*document);
  result.status = Check(executor, repository, result.document, options.progress);
  if (!result.status.ok() && result.status.code() != base::Code::kCorruption) return result;

  result.document.verification = {
      .state = result.status.ok() ? VerificationState::kGood : VerificationState::kFailed,
      .at = env.WallNow(),
      .method = std::string(kMethodVerify),
      .message = result.status.message()};
  if (options.record) result.recorded = Record(repository, result.document);
  return result;
}

}  // namespace understudy::backup
