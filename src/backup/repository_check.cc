// SPDX-License-Identifier: Apache-2.0
#include "backup/repository_check.h"

#include <fmt/format.h>

#include "backup/repository.h"
#include "store/location.h"
#include "store/object_store.h"

namespace understudy::backup {
namespace {

constexpr uint64_t kObjectBytesMax = 1024;

// An object of its own for each check; gone with it, best effort.
class TrialObject {
 public:
  TrialObject(env::Env& env, store::ObjectStore& store, const std::string& who)
      : env_(env),
        store_(store),
        key_(fmt::format("understudy-check-{}-{:x}", who, env.WallNow().unix_ms)),
        content_("put by the check of " + who) {}
  ~TrialObject() {
    if (!removed_) store_.Delete(key_).IgnoreError();
  }
  TrialObject(const TrialObject&) = delete;
  TrialObject& operator=(const TrialObject&) = delete;

  base::Status Put(PlaceCheck& check) {
    const base::SteadyTime began = env_.Now();
    RETURN_IF_ERROR(store_.Put(key_, base::AsBytes(content_), store::PutMode::kNew)
                        .WithContext("an object could not be put"));
    check.write = env_.Now() - began;
    return {};
  }
  base::Status Read(PlaceCheck& check) {
    const base::SteadyTime began = env_.Now();
    const auto read = store::Get(store_, key_, kObjectBytesMax);
    RETURN_IF_ERROR(read.status().WithContext("an object that was put could not be read"));
    check.read = env_.Now() - began;
    if (std::string(read->begin(), read->end()) == content_) return {};
    return base::Corruption(
        fmt::format("{}: something else is read than was put", store_.NameOf(key_)));
  }
  // Other content, or it would be taken for the first one put twice.
  base::Status PutAgain(PlaceCheck& check) {
    const std::string other = content_ + " again";
    const base::Status second = store_.Put(key_, base::AsBytes(other), store::PutMode::kNew);
    if (!second.ok() && second.code() != base::Code::kAlreadyExists) return second;
    check.exclusive = !second.ok();
    return {};
  }
  base::Status Remove() {
    RETURN_IF_ERROR(store_.Delete(key_).WithContext("an object could not be deleted"));
    removed_ = true;
    return {};
  }

 private:
  env::Env& env_;
  store::ObjectStore& store_;
  const std::string key_;
  const std::string content_;
  bool removed_ = false;
};

base::Status CountDatabases(env::Env& env, const std::string& location, PlaceCheck& check) {
  auto opened = store::OpenStore(env, location, /*make=*/false);
  if (opened.status().code() == base::Code::kNotFound) {
    return base::NotFound(
        fmt::format("{} is not there\nmake it, or mount what it is on", location));
  }
  ASSIGN_OR_RETURN(auto store, std::move(opened));
  ASSIGN_OR_RETURN(const store::ObjectList list, store->List(""));
  if (list.objects.empty() && list.folders.empty()) return {};  // the first backup makes it
  ASSIGN_OR_RETURN(const auto repository, Repository::Open(env, location));
  ASSIGN_OR_RETURN(const std::vector<std::string> databases, repository->Databases());
  check.exists = true;
  check.databases = static_cast<uint32_t>(databases.size());
  return {};
}

}  // namespace

base::Result<PlaceCheck> CheckPlace(env::Env& env, const std::string& location,
                                    const std::string& who) {
  PlaceCheck check;
  // First: what is no repository is left alone.
  RETURN_IF_ERROR(CountDatabases(env, location, check));
  ASSIGN_OR_RETURN(auto store, store::OpenStore(env, location, /*make=*/false));
  TrialObject object(env, *store, who);
  RETURN_IF_ERROR(object.Put(check));
  RETURN_IF_ERROR(object.Read(check));
  RETURN_IF_ERROR(object.PutAgain(check));
  RETURN_IF_ERROR(object.Remove());
  ASSIGN_OR_RETURN(check.space, store->Free());
  return check;
}

}  // namespace understudy::backup
