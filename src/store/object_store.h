// SPDX-License-Identifier: Apache-2.0
// ObjectStore: where a repository's objects are: a directory, or a bucket that speaks S3.
//
// An object has a key ("orders/backups/….json", parts separated by slashes) and bytes that never
// change under it except by being replaced as a whole. Large ones are streamed through an Upload.
//
// Invariants:
//   1. An object is there whole or not at all, whatever crashes. What a killed writer left is no
//      object: List and Open do not see it, and RemoveUnfinished takes it away.
//   2. When Put, Publish or Delete returned ok, it survives a crash of this host.
//   3. A failed one may have taken place all the same: whoever must know looks.
// Threading: an ObjectStore is thread-safe. An ObjectReader's ReadAt may run on several threads at
// once. Of an Upload, Append, Store and the reader may each run on one thread beside the others.
// Units: bytes. Errors: kNotFound, kAlreadyExists (PutMode::kNew, Publish), kNoSpace, kIoError, and
// of stores across a network kUnavailable and kTimedOut; messages name the object.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::store {

// Of names that are no objects, but what a writer is at, or has left.
inline constexpr std::string_view kPartialSuffix = ".partial";

// The one object that is never encrypted: it says whether the others are.
inline constexpr std::string_view kClearObject = "understudy-repository.json";

class RepositoryKeys;

struct ObjectInfo {
  std::string name;  // the last part of the key
  uint64_t bytes = 0;
  base::WallTime modified;
};

struct ObjectList {
  std::vector<ObjectInfo> objects;   // by name
  std::vector<std::string> folders;  // the next parts of longer keys, by name
};

class ObjectReader {
 public:
  virtual ~ObjectReader() = default;
  // Reads up to out.size() bytes at `offset`; fewer only at the end.
  virtual base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) = 0;
  virtual base::Result<uint64_t> Size() = 0;
  // So that what is read next comes from where it is stored. Advice: never fails.
  virtual void DropFromCache(uint64_t offset, uint64_t length) = 0;
};

struct UploadOptions {
  std::string key = {};
  // Where a store that has to put the bytes somewhere first may do so; ends in kPartialSuffix.
  std::string temporary = {};
  std::optional<base::WallTime> modified = {};  // the object's time, instead of now
};

// An object that is being written. Destroyed before Publish it leaves nothing, best effort, except
// for an object under its key in a store where it has that already.
class Upload {
 public:
  virtual ~Upload() = default;
  virtual base::Status Append(base::ByteView bytes) = 0;
  // Brings the first `up_to` bytes to where they are stored; `whole`: that is all of it, and
  // nothing is appended any more. The result is up to where they can be read back from there.
  virtual base::Result<uint64_t> Store(uint64_t up_to, bool whole) = 0;
  // For reading back, once Store allows any.
  virtual base::Result<std::unique_ptr<ObjectReader>> OpenStored() = 0;
  // Gives it its key; kAlreadyExists if there is such an object and `replace` is not set. In some
  // stores it has it from Store(…, whole) on, so nothing may refer to it before.
  virtual base::Status Publish(bool replace) = 0;
};

enum class PutMode : uint8_t { kReplace, kNew };

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // For messages: "/srv/backups", "s3://bucket/prefix"; and of an object the same with its key.
  virtual const std::string& name() const = 0;
  std::string NameOf(const std::string& key) const { return env::JoinPath(name(), key); }
  // What its objects are encrypted with; null: they are not.
  virtual const RepositoryKeys* keys() const { return nullptr; }

  virtual base::Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) = 0;
  virtual base::Result<ObjectInfo> Stat(const std::string& key) = 0;
  // What lies in a folder: "" or "orders/backups". One that is not there is empty.
  virtual base::Result<ObjectList> List(const std::string& folder) = 0;
  // A small object, at once. kNew: only if there is none, decided by the store for all hosts.
  virtual base::Status Put(const std::string& key, base::ByteView content, PutMode mode) = 0;
  virtual base::Result<std::unique_ptr<Upload>> Begin(const UploadOptions& options) = 0;
  virtual base::Status Delete(const std::string& key) = 0;  // ok if there is none
  // What killed writers left in these folders. REQUIRES: nobody writes there now.
  virtual base::Status RemoveUnfinished(const std::vector<std::string>& folders) = 0;
  // Nothing: the store does not know a limit.
  virtual base::Result<std::optional<env::Space>> Free() = 0;
  // kBusy while another process of this host, or this one, holds it. Gone with the process. A store
  // without files gives a null one: only what holds across hosts counts there.
  virtual base::Result<std::unique_ptr<env::FileLock>> LockOnHost(const std::string& key) = 0;
};

// The whole object; kInvalidArgument when it is larger than `bytes_max`.
base::Result<base::Bytes> Get(ObjectStore& store, const std::string& key, uint64_t bytes_max);
bool Exists(ObjectStore& store, const std::string& key);

}  // namespace understudy::store
