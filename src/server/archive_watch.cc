// SPDX-License-Identifier: Apache-2.0
#include "server/archive_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/thread_name.h"
#include "rpc/protocol.h"
#include "server/copy_snapshot.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kLookInterval = std::chrono::milliseconds(250);
// All servers with a copy are asked to choose the source.
constexpr base::Duration kChooseInterval = std::chrono::seconds(10);
constexpr base::Duration kSnapshotLimit = std::chrono::seconds(10);
// Between two backups that are begun for one archive.
constexpr base::Duration kBackupInterval = std::chrono::minutes(1);

}  // namespace

ArchiveWatch::ArchiveWatch(const ServerContext& context, const Parts& parts)
    : context_(context), parts_(parts) {
  thread_ = base::Thread([this] { Run(); });
}

ArchiveWatch::~ArchiveWatch() { Stop(); }

void ArchiveWatch::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.Join();
}

void ArchiveWatch::Run() {
  base::NameThisThread("archive");
  while (true) {
    Look();
    base::MutexLock lock(mutex_);
    if (!stop_) changed_.WaitFor(mutex_, kLookInterval);
    if (stop_) return;
  }
}

void ArchiveWatch::Look() {
  const std::shared_ptr<const web::GroupView> group = parts_.cache.Get();
  if (group == nullptr) return;
  std::set<std::string> archived;
  for (const cluster::DatabaseRecord& record : group->databases) {
    if (record.archive_interval == base::Duration(0)) continue;
    if (record.FindCopy(context_.server) == nullptr) continue;
    {
      base::MutexLock lock(mutex_);
      if (stop_) return;
    }
    archived.insert(record.name);
    Entry& entry = entries_[record.name];
    if (IsDue(record, entry)) Tell(record.name, Archive(record, entry), entry);
  }
  std::erase_if(entries_, [&](const auto& entry) { return !archived.contains(entry.first); });
}

bool ArchiveWatch::IsDue(const cluster::DatabaseRecord& record, Entry& entry) {
  const base::SteadyTime now = context_.env.Now();
  if (now < entry.next) return false;
  entry.next = now + record.archive_interval;
  if (now >= entry.choose) {
    entry.choose = now + kChooseInterval;
    const base::Result<bool> ours = parts_.admin.IsBackupSource(record, "");
    // Without the coordinator it stays as it was: a state more does no harm.
    if (ours.ok()) entry.ours = *ours;
  }
  if (!entry.ours) entry.writer.reset();  // another one goes on
  return entry.ours;
}

base::Status ArchiveWatch::Open(const std::string& database, Entry& entry) {
  ASSIGN_OR_RETURN(const std::string path, parts_.admin.RepositoryPath(""));
  if (entry.writer != nullptr && entry.path == path) return {};
  entry.writer.reset();
  ASSIGN_OR_RETURN(entry.repository, backup::Repository::OpenOrCreate(context_.env, path));
  entry.path = path;
  entry.writer =
      std::make_unique<backup::ArchiveWriter>(context_.env, executor_, *entry.repository, database,
                                              fmt::format("understudy {}", rpc::kVersion));
  return {};
}

base::Status ArchiveWatch::Archive(const cluster::DatabaseRecord& record, Entry& entry) {
  RETURN_IF_ERROR(Open(record.name, entry));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<backup::SnapshotSource> snapshot,
      OpenCopySnapshot(context_, parts_.host,
                       {.database = record.name, .with_hashes = true, .limit = kSnapshotLimit}));
  const backup::ArchiveResult result = entry.writer->Add(*snapshot);
  if (result.needs_root) {
    BeginBackup(record, result.status.message(), entry);
    return {};
  }
  RETURN_IF_ERROR(result.status);
  entry.asked_backup = false;
  return {};
}

void ArchiveWatch::BeginBackup(const cluster::DatabaseRecord& record, const std::string& why,
                               Entry& entry) {
  const base::SteadyTime now = context_.env.Now();
  if (now < entry.backup_next) return;
  BackupSession::Options options;
  options.database = record.name;
  options.requester = "archive";
  options.type = backup::BackupType::kIncremental;
  options.or_full = true;
  options.repository = entry.path;
  options.wait = kBackupInterval;
  const auto begun = parts_.backups.Begin(std::move(options));
  if (!begun.ok()) return;  // one runs here, and may be what is needed
  entry.backup_next = now + kBackupInterval;
  if (std::exchange(entry.asked_backup, true)) return;
  context_.events.Add(EventNumber::kArchiveNeedsBackup, Severity::kInfo, record.name,
                      fmt::format("the archive of {} goes on from a new backup, {}: {}",
                                  record.name, (*begun)->options().id, why));
}

// What fails the same way again is told once.
void ArchiveWatch::Tell(const std::string& database, const base::Status& status, Entry& entry) {
  if (status.ok()) {
    if (entry.failure.empty()) return;
    entry.failure.clear();
    context_.events.Add(EventNumber::kArchiveGoesOn, Severity::kInfo, database,
                        fmt::format("the archive of {} goes on", database));
    return;
  }
  if (!entry.failure.empty()) return;
  entry.failure = status.message();
  context_.events.Add(
      EventNumber::kArchiveFailed, Severity::kWarning, database,
      fmt::format("{} could not be archived on {}, and is tried again at each interval: {}",
                  database, context_.server, status.message()));
}

}  // namespace understudy::server
