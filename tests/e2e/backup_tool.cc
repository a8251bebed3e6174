// SPDX-License-Identifier: Apache-2.0
// Backs up and restores database files that nobody has open, without any server: what the
// comparison with Litestream (litestream_test.py) drives.
//
//   backup_tool backup REPOSITORY NAME DATABASE SEQ TYPE  prints the document
//   backup_tool restore REPOSITORY NAME OUTPUT
//   backup_tool verify REPOSITORY NAME ID
#include <fmt/format.h>

#include <cstdlib>
#include <span>
#include <string>

#include "backup/backup_engine.h"
#include "backup/file_snapshot_source.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "store/s3_store.h"

namespace understudy {
namespace {

// "s3://BUCKET/PREFIX": at S3_ENDPOINT in S3_REGION, in the smallest parts.
base::Result<std::unique_ptr<backup::Repository>> OpenRepository(env::Env& env,
                                                                 const std::string& path) {
  constexpr std::string_view kScheme = "s3://";
  if (!path.starts_with(kScheme)) return backup::Repository::OpenOrCreate(env, path);
  const std::string rest = path.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  const char* const endpoint = std::getenv("S3_ENDPOINT");
  const char* const region = std::getenv("S3_REGION");
  const store::S3Options options{.endpoint = endpoint == nullptr ? "" : endpoint,
                                 .region = region == nullptr ? "" : region,
                                 .bucket = rest.substr(0, slash),
                                 .prefix = rest.substr(std::min(slash + 1, rest.size())),
                                 .path_style = true,
                                 .part_bytes = store::kPartBytesMin};
  ASSIGN_OR_RETURN(auto opened, store::S3Store::Open(env, options));
  return backup::Repository::OpenOrCreate(env, std::move(opened));
}

base::Status Backup(const std::string& path, const std::string& name, const std::string& database,
                    const std::string& seq, const std::string& type_name) {
  env::Env& env = env::PosixEnv();
  backup::ThreadExecutor executor;
  ASSIGN_OR_RETURN(const auto repository, OpenRepository(env, path));
  const backup::SnapshotOrigin origin{
      .database = {}, .database_name = name, .server = "none", .role = "offline"};
  ASSIGN_OR_RETURN(const auto source,
                   backup::FileSnapshotSource::Open(
                       env, database, origin,
                       {base::Term(1), base::Seq(std::strtoull(seq.c_str(), nullptr, 10))}));
  const auto type = backup::BackupTypeFromName(type_name);
  if (!type) return base::InvalidArgument(type_name + " is no type of backup");
  const backup::BackupResult result = backup::RunBackup(env, executor, *repository, *source,
                                                        {.software = "backup_tool", .type = *type});
  if (result.status.ok()) fmt::print("{}", backup::ToJson(result.document));
  return result.status;
}

base::Status Restore(const std::string& path, const std::string& name, const std::string& output) {
  env::Env& env = env::PosixEnv();
  backup::ThreadExecutor executor;
  ASSIGN_OR_RETURN(const auto repository, OpenRepository(env, path));
  return backup::Restore(env, executor, *repository, {.database = name, .output = output}).status();
}

base::Status Verify(const std::string& path, const std::string& name, const std::string& id) {
  env::Env& env = env::PosixEnv();
  backup::ThreadExecutor executor;
  ASSIGN_OR_RETURN(const auto repository, OpenRepository(env, path));
  return backup::VerifyBackup(env, executor, *repository, name, id, {}).status;
}

int Run(std::span<char*> arguments) {
  const std::string command = arguments.size() > 1 ? arguments[1] : "";
  base::Status status = base::InvalidArgument("usage: see the head of backup_tool.cc");
  if (command == "backup" && arguments.size() == 7) {
    status = Backup(arguments[2], arguments[3], arguments[4], arguments[5], arguments[6]);
  } else if (command == "restore" && arguments.size() == 5) {
    status = Restore(arguments[2], arguments[3], arguments[4]);
  } else if (command == "verify" && arguments.size() == 5) {
    status = Verify(arguments[2], arguments[3], arguments[4]);
  }
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", status.ToString());
  return 1;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) { return understudy::Run({argv, static_cast<size_t>(argc)}); }
