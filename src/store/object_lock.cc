// SPDX-License-Identifier: Apache-2.0
#include "store/object_lock.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "env/boot_id.h"

namespace understudy::store {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kContentBytesMax = 4 << 10;
constexpr size_t kNumberDigits = 16;
constexpr int kRoundsMax = 100;

struct Holder {
  std::string host;
  std::string id;
  std::string file;  // HostProof::file
  int64_t pid = 0;
  bool released = false;
};

// Bytes of others: what is odd is a holder of whom nothing is known.
Holder HolderOf(const base::Bytes& content) {
  Holder holder;
  const Json json = Json::parse(content, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return holder;
  const auto text = [&](const char* name) {
    const Json value = json.value(name, Json());
    return value.is_string() ? value.get<std::string>() : std::string();
  };
  holder.host = text("host");
  holder.id = text("id");
  holder.file = text("file");
  if (const Json pid = json.value("pid", Json()); pid.is_number_integer()) {
    holder.pid = pid.get<int64_t>();
  }
  if (const Json released = json.value("released", Json()); released.is_boolean()) {
    holder.released = released.get<bool>();
  }
  return holder;
}

bool ParseNumber(std::string_view name, uint64_t& number) {
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), number, 16);
  return name.size() == kNumberDigits && error == std::errc() && rest == name.data() + name.size();
}

}  // namespace

// The numbers tell the file from that of a copied directory, and from one of the same path in
// another container: as long as a process has it open, no other file has them.
base::Result<HostProof> LockFileOnHost(env::Env& env, const std::string& directory,
                                       const std::string& name) {
  RETURN_IF_ERROR(env.MakeDirectories(directory));
  const std::string path = env::JoinPath(directory, name);
  HostProof proof;
  ASSIGN_OR_RETURN(proof.lock, env.Lock(path));
  ASSIGN_OR_RETURN(const env::FileStat stat, env.Stat(path));
  proof.file = fmt::format("{:x}:{:x}", stat.device, stat.inode);
  return proof;
}

base::Result<std::unique_ptr<ObjectLock>> ObjectLock::Acquire(env::Env& env, ObjectStore& store,
                                                              const Pause& pause,
                                                              const LockOptions& options) {
  std::unique_ptr<ObjectLock> lock(new ObjectLock(env, store, options));
  const auto boot = env::BootId(env);
  lock->host_ = boot.ok() ? *boot : "";
  lock->id_ = fmt::format("{:016x}", env.Random());
  for (int round = 0; round < kRoundsMax; ++round) {
    bool again = false;
    RETURN_IF_ERROR(lock->TryOnce(pause, again));
    if (!again) return lock;
  }
  return base::Busy(fmt::format("the lock {} changes hands all the time; try again later",
                                store.NameOf(options.folder)));
}

ObjectLock::~ObjectLock() {
  if (number_ == 0) return;
  // By somebody who was taken over this changes an object that is the lock no more.
  store_.Put(KeyOf(number_), base::AsBytes(Content(/*released=*/true)), PutMode::kReplace)
      .IgnoreError();
}

std::string ObjectLock::KeyOf(uint64_t number) const {
  return fmt::format("{}/{:016x}", options_.folder, number);
}

std::string ObjectLock::Content(bool released) const {
  return Json{{"format", "understudy-lock"},
              {"host", host_},
              {"file", options_.host_file},
              {"pid", getpid()},
              {"id", id_},
              {"renewals", renewals_},
              {"released", released}}
             .dump() +
         "\n";
}

base::Result<uint64_t> ObjectLock::Highest() {
  ASSIGN_OR_RETURN(const ObjectList list, store_.List(options_.folder));
  uint64_t highest = 0;
  for (const ObjectInfo& object : list.objects) {
    uint64_t number = 0;
    if (ParseNumber(object.name, number)) highest = std::max(highest, number);
  }
  return highest;
}

base::Status ObjectLock::TryOnce(const Pause& pause, bool& again) {
  ASSIGN_OR_RETURN(const uint64_t highest, Highest());
  if (highest == 0) return Make(1, again);
  auto content = Get(store_, KeyOf(highest), kContentBytesMax);
  if (content.status().code() == base::Code::kNotFound) {
    again = true;  // somebody has a higher one by now
    return {};
  }
  RETURN_IF_ERROR(content.status());
  const Holder holder = HolderOf(*content);
  // Of a host that does not know its boot the numbers of a file say nothing.
  const bool same_file =
      holder.file == options_.host_file && (holder.file.empty() || !host_.empty());
  const bool gone = options_.host_is_ours && holder.host == host_ && same_file;
  if (!holder.released && !gone) RETURN_IF_ERROR(Watch(pause, highest, std::move(*content)));
  return Make(highest + 1, again);
}

// Ok: the holder has not renewed it for the lease.
base::Status ObjectLock::Watch(const Pause& pause, uint64_t number, base::Bytes seen) {
  const Holder holder = HolderOf(seen);
  const base::SteadyTime first = env_.Now();
  while (options_.take_over) {
    const base::Duration waited = env_.Now() - first;
    if (waited >= kLockLease) return {};
    pause(std::min(kLockLookEvery, kLockLease - waited));
    const auto now = Get(store_, KeyOf(number), kContentBytesMax);
    if (now.status().code() == base::Code::kNotFound) break;  // taken over by somebody else
    RETURN_IF_ERROR(now.status());
    if (*now == seen) continue;
    if (HolderOf(*now).released) return {};
    break;
  }
  return base::Busy(fmt::format(
      "{} is running (the lock {} is held by process {} of host {}, {}); wait for it to end",
      options_.what, store_.NameOf(options_.folder), holder.pid,
      holder.host.empty() ? "unknown" : holder.host, holder.id));
}

base::Status ObjectLock::Make(uint64_t number, bool& again) {
  const base::Status made =
      store_.Put(KeyOf(number), base::AsBytes(Content(/*released=*/false)), PutMode::kNew);
  if (made.code() == base::Code::kAlreadyExists) {
    again = true;
    return {};
  }
  RETURN_IF_ERROR(made);
  number_ = number;
  renewed_ = env_.Now();
  RemoveBelow(number);
  // On a store that does not decide for all hosts, two may have made it: the one whose content is
  // there has it.
  return Check();
}

void ObjectLock::RemoveBelow(uint64_t number) {
  const auto list = store_.List(options_.folder);
  if (!list.ok()) return;  // the next holder removes them
  for (const ObjectInfo& object : list->objects) {
    uint64_t other = 0;
    if (!ParseNumber(object.name, other) || other >= number) continue;
    store_.Delete(env::JoinPath(options_.folder, object.name)).IgnoreError();
  }
}

void ObjectLock::RenewIfDue() {
  if (number_ == 0 || env_.Now() - renewed_ < kLockRenewEvery) return;
  renewed_ = env_.Now();
  ++renewals_;
  store_.Put(KeyOf(number_), base::AsBytes(Content(/*released=*/false)), PutMode::kReplace)
      .IgnoreError();
}

base::Status ObjectLock::Check() {
  ASSIGN_OR_RETURN(const uint64_t highest, Highest());
  if (highest == number_) {
    ASSIGN_OR_RETURN(const base::Bytes content, Get(store_, KeyOf(number_), kContentBytesMax));
    if (HolderOf(content).id == id_) return {};
  }
  number_ = 0;  // never to be touched again
  return base::Fenced(fmt::format(
      "the lock {} was taken over by somebody else, because this process had not renewed it for {} "
      "s",
      store_.NameOf(options_.folder), kLockLease / std::chrono::seconds(1)));
}

}  // namespace understudy::store
