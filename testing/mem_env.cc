// SPDX-License-Identifier: Apache-2.0
#include "testing/mem_env.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace understudy::test {

using base::MutexLock;
using base::Result;
using base::Status;

namespace {
constexpr uint64_t kBlockBytes = 4096;          // what is tracked as dirty
constexpr uint64_t kSectorBytes = 512;          // the smallest thing a disk writes whole
constexpr uint64_t kFileBytesMax = 1ULL << 36;  // an offset beyond this is a bug of the test
}  // namespace

struct MemNode {
  bool directory = false;
  uint64_t inode = 0;
  base::WallTime modified;
  int links = 0;    // live names
  int handles = 0;  // open Files of this epoch
  // A file: what a process sees, what the disk has, and which blocks of the two may differ.
  base::Bytes live;
  base::Bytes durable;
  std::set<uint64_t> dirty;
  bool forgotten = false;  // a Sync failed: live and durable differ where nothing is dirty
  // A directory: the same two views.
  std::map<std::string, std::shared_ptr<MemNode>> live_names;
  std::map<std::string, std::shared_ptr<MemNode>> durable_names;

  void MarkDirty(uint64_t begin, uint64_t end) {
    for (uint64_t block = begin / kBlockBytes; block * kBlockBytes < end; ++block) {
      dirty.insert(block);
    }
  }
};

namespace {

void SetName(std::map<std::string, std::shared_ptr<MemNode>>& names, const std::string& name,
             const std::shared_ptr<MemNode>& node) {
  if (node == nullptr) {
    names.erase(name);
  } else {
    names[name] = node;
  }
}

void SyncNode(MemNode& node) {
  node.durable.resize(node.live.size());
  for (const uint64_t block : node.dirty) {
    const uint64_t begin = block * kBlockBytes;
    const uint64_t end = std::min<uint64_t>(begin + kBlockBytes, node.live.size());
    if (begin < end) std::copy_n(&node.live[begin], end - begin, &node.durable[begin]);
  }
  node.dirty.clear();
}

std::vector<std::string> SplitPath(const std::string& path) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
    begin = end + 1;
  }
  return parts;
}

// What of an unsynced file is on the disk after a power cut: nothing, all, or some sectors.
base::Bytes TearContent(const MemNode& node, std::mt19937_64& fate) {
  const uint64_t choice = fate() % 4;
  if (choice == 0) return node.durable;
  if (choice == 1) return node.live;
  const uint64_t unit = choice == 2 ? kSectorBytes : kBlockBytes;
  base::Bytes content = node.durable;
  const uint64_t low = std::min(node.durable.size(), node.live.size());
  const uint64_t high = std::max(node.durable.size(), node.live.size());
  switch (fate() % 3) {
    case 0: break;
    case 1: content.resize(node.live.size()); break;
    default: content.resize(low + fate() % (high - low + 1));
  }
  for (const uint64_t block : node.dirty) {
    for (uint64_t begin = block * kBlockBytes; begin < (block + 1) * kBlockBytes; begin += unit) {
      const uint64_t end =
          std::min({begin + unit, (uint64_t{content.size()}), uint64_t{node.live.size()}});
      if (begin < end && fate() % 2 == 0) {
        std::copy_n(&node.live[begin], end - begin, &content[begin]);
      }
    }
  }
  return content;
}

}  // namespace

class MemFile final : public env::File, public MemFileControl {
 public:
  MemFile(MemEnv& env, std::shared_ptr<MemNode> node, std::string path, bool writable,
          uint64_t epoch)
      : env_(env),
        node_(std::move(node)),
        path_(std::move(path)),
        writable_(writable),
        epoch_(epoch) {}
  ~MemFile() override { Close().IgnoreError(); }  // whoever cares calls Close() first
  MemFile(const MemFile&) = delete;
  MemFile& operator=(const MemFile&) = delete;

  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    MutexLock lock(env_.mutex_);
    RETURN_IF_ERROR(CheckUsable("read"));
    if (offset >= node_->live.size() || out.empty()) return size_t{0};
    const size_t count = std::min<uint64_t>(out.size(), node_->live.size() - offset);
    std::copy_n(&node_->live[offset], count, out.data());
    return count;
  }

  Status WriteAt(uint64_t offset, base::ByteView bytes) override {
    MutexLock lock(env_.mutex_);
    RETURN_IF_ERROR(CheckUsable("write"));
    RETURN_IF_ERROR(CheckWritable("write"));
    if (bytes.empty()) return Status();
    if (offset > kFileBytesMax || bytes.size() > kFileBytesMax) {
      return base::IoError(fmt::format("cannot write {}: File too large", path_));
    }
    const uint64_t end = offset + bytes.size();
    const uint64_t size = env_.Grow(*node_, end);
    const uint64_t fits = size <= offset ? 0 : std::min(size, end) - offset;
    if (fits > 0) {
      std::copy_n(bytes.data(), fits, &node_->live[offset]);
      node_->MarkDirty(offset, offset + fits);
    }
    node_->modified = env_.WallNow();
    if (fits < bytes.size()) return NoSpaceFor();
    return Status();
  }

  Status Sync() override {
    MutexLock lock(env_.mutex_);
    RETURN_IF_ERROR(CheckUsable("sync"));
    SyncNode(*node_);
    return Status();
  }

  Status Truncate(uint64_t size) override {
    MutexLock lock(env_.mutex_);
    RETURN_IF_ERROR(CheckUsable("truncate"));
    RETURN_IF_ERROR(CheckWritable("truncate"));
    const uint64_t before = node_->live.size();
    if (size > before) {
      if (size > kFileBytesMax || env_.Grow(*node_, size) < size) return NoSpaceFor();
    } else {
      // What is cut off reads as zeros if the file grows again, so the disk's old bytes there are
      // out of date.
      node_->MarkDirty(size, before);
      node_->live.resize(size);
      env_.used_bytes_ -= before - size;
    }
    node_->modified = env_.WallNow();
    return Status();
  }

  Result<uint64_t> Size() override {
    MutexLock lock(env_.mutex_);
    RETURN_IF_ERROR(CheckUsable("look at"));
    return uint64_t{node_->live.size()};
  }

  Status Close() override {
    MutexLock lock(env_.mutex_);
    if (closed_) return Status();
    closed_ = true;
    if (epoch_ == env_.epoch_) {
      --node_->handles;
      env_.ReleaseIfUnused(*node_);
    }
    return Status();
  }

  void DropFromCache(uint64_t, uint64_t) override {}

  void ForgetDirty() override {
    MutexLock lock(env_.mutex_);
    node_->dirty.clear();
    node_->forgotten = true;
  }

 private:
  Status CheckUsable(std::string_view action) const REQUIRES_LOCK(env_.mutex_) {
    if (closed_) return base::IoError(fmt::format("cannot {} {}: it was closed", action, path_));
    if (epoch_ == env_.epoch_) return Status();
    return base::IoError(fmt::format("cannot {} {}: the power failed", action, path_));
  }
  Status CheckWritable(std::string_view action) const {
    if (writable_) return Status();
    return base::IoError(fmt::format("cannot {} {}: it was opened for reading", action, path_));
  }
  Status NoSpaceFor() const {
    return base::NoSpace(fmt::format("cannot write {}: No space left on device", path_));
  }

  MemEnv& env_;
  const std::shared_ptr<MemNode> node_;
  const std::string path_;
  const bool writable_;
  const uint64_t epoch_;
  bool closed_ = false;  // guarded by env_.mutex_
};

class MemLock final : public env::FileLock {
 public:
  MemLock(MemEnv& env, std::shared_ptr<MemNode> node, uint64_t epoch)
      : env_(env), node_(std::move(node)), epoch_(epoch) {}
  ~MemLock() override {
    MutexLock lock(env_.mutex_);
    if (epoch_ == env_.epoch_) env_.locked_.erase(node_.get());
  }
  MemLock(const MemLock&) = delete;
  MemLock& operator=(const MemLock&) = delete;

 private:
  MemEnv& env_;
  const std::shared_ptr<MemNode> node_;
  const uint64_t epoch_;
};

MemEnv::MemEnv(MemEnvOptions options)
    : clock_(options.clock != nullptr ? options.clock : &own_clock_),
      random_(options.seed),
      space_bytes_max_(options.space_bytes_max) {
  MutexLock lock(mutex_);
  root_ = NewNode(true);
}

MemEnv::~MemEnv() = default;

MemEnv::NodePtr MemEnv::NewNode(bool directory) {
  auto node = std::make_shared<MemNode>();
  node->directory = directory;
  node->inode = next_inode_++;
  node->modified = WallNow();
  return node;
}

Result<MemEnv::Place> MemEnv::Find(const std::string& path) {
  const std::vector<std::string> parts = SplitPath(path);
  Place place{.directory = root_, .name = "", .node = root_};
  for (const std::string& part : parts) {
    if (place.node == nullptr) {
      return base::NotFound(fmt::format("cannot open {}: No such file or directory", path));
    }
    if (!place.node->directory) {
      return base::IoError(fmt::format("cannot open {}: Not a directory", path));
    }
    const auto found = place.node->live_names.find(part);
    const bool present = found != place.node->live_names.end();
    place = {.directory = place.node, .name = part, .node = present ? found->second : nullptr};
  }
  return place;
}

Result<MemEnv::NodePtr> MemEnv::FindNode(const std::string& path) {
  ASSIGN_OR_RETURN(Place place, Find(path));
  if (place.node == nullptr) {
    return base::NotFound(fmt::format("cannot open {}: No such file or directory", path));
  }
  return place.node;
}

void MemEnv::Do(PendingOp op) {
  std::vector<NodePtr> replaced;
  for (const NameChange& change : op.changes) {
    auto& names = change.directory->live_names;
    if (const auto old = names.find(change.name); old != names.end()) {
      --old->second->links;
      replaced.push_back(old->second);
    }
    SetName(names, change.name, change.node);
    if (change.node != nullptr) ++change.node->links;
  }
  for (const NodePtr& node : replaced) ReleaseIfUnused(*node);
  pending_.push_back(std::move(op));
}

uint64_t MemEnv::Grow(MemNode& node, uint64_t size) {
  const uint64_t before = node.live.size();
  if (size <= before) return before;
  const uint64_t room = space_bytes_max_ > used_bytes_ ? space_bytes_max_ - used_bytes_ : 0;
  const uint64_t after = before + std::min(size - before, room);
  node.live.resize(after);
  used_bytes_ += after - before;
  return after;
}

void MemEnv::ReleaseIfUnused(const MemNode& node) {
  if (node.links == 0 && node.handles == 0) used_bytes_ -= node.live.size();
}

Result<std::unique_ptr<env::File>> MemEnv::Open(const std::string& path, env::OpenMode mode) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(Place place, Find(path));
  const bool must_create =
      mode == env::OpenMode::kCreateNew || mode == env::OpenMode::kCreateNewPrivate;
  const bool may_create =
      must_create || mode == env::OpenMode::kCreate || mode == env::OpenMode::kCreateTruncate;
  if (place.node == nullptr) {
    if (!may_create) {
      return base::NotFound(fmt::format("cannot open {}: No such file or directory", path));
    }
    place.node = NewNode(false);
    Do({.changes = {{place.directory, place.name, place.node}}});
  } else if (must_create) {
    return base::AlreadyExists(fmt::format("cannot open {}: File exists", path));
  } else if (place.node->directory) {
    return base::IoError(fmt::format("cannot open {}: Is a directory", path));
  } else if (mode == env::OpenMode::kCreateTruncate) {
    place.node->MarkDirty(0, place.node->live.size());
    used_bytes_ -= place.node->live.size();
    place.node->live.clear();
  }
  ++place.node->handles;
  return std::unique_ptr<env::File>(
      new MemFile(*this, place.node, path, mode != env::OpenMode::kRead, epoch_));
}

Result<env::FileStat> MemEnv::Stat(const std::string& path) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, FindNode(path));
  return env::FileStat{.size = node->live.size(),
                       .is_directory = node->directory,
                       .device = 1,
                       .inode = node->inode,
                       .modified = node->modified};
}

Result<std::vector<std::string>> MemEnv::List(const std::string& directory) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, FindNode(directory));
  if (!node->directory) {
    return base::IoError(fmt::format("cannot list {}: Not a directory", directory));
  }
  std::vector<std::string> names;
  for (const auto& [name, child] : node->live_names) names.push_back(name);
  return names;
}

Status MemEnv::MakeDirectories(const std::string& path) {
  MutexLock lock(mutex_);
  NodePtr at = root_;
  for (const std::string& part : SplitPath(path)) {
    auto found = at->live_names.find(part);
    if (found == at->live_names.end()) {
      NodePtr made = NewNode(true);
      made->links = 1;
      at->live_names[part] = made;
      at->durable_names[part] = made;
      at = made;
    } else if (found->second->directory) {
      at = found->second;
    } else {
      return base::IoError(fmt::format("cannot make directory {}: Not a directory", path));
    }
  }
  return Status();
}

Status MemEnv::Rename(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  return RenameLocked(from, to, true);
}

Status MemEnv::RenameNew(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  return RenameLocked(from, to, false);
}

Status MemEnv::RenameLocked(const std::string& from, const std::string& to, bool replace) {
  ASSIGN_OR_RETURN(const Place source, Find(from));
  ASSIGN_OR_RETURN(const Place target, Find(to));
  const std::string action = fmt::format("cannot rename to {} {}", to, from);
  if (source.node == nullptr) {
    return base::NotFound(action + ": No such file or directory");
  }
  if (target.node != nullptr) {
    if (!replace) return base::AlreadyExists(action + ": File exists");
    if (target.node == source.node) return Status();
    if (target.node->directory != source.node->directory) {
      return base::IoError(action + ": one is a directory, the other is not");
    }
    if (!target.node->live_names.empty()) return base::IoError(action + ": Directory not empty");
  }
  Do({.changes = {{source.directory, source.name, nullptr},
                  {target.directory, target.name, source.node}}});
  return Status();
}

Status MemEnv::Remove(const std::string& path) {
  MutexLock lock(mutex_);
  return RemoveLocked(path, false);
}

Status MemEnv::RemoveDirectory(const std::string& path) {
  MutexLock lock(mutex_);
  return RemoveLocked(path, true);
}

Status MemEnv::RemoveLocked(const std::string& path, bool directory) {
  ASSIGN_OR_RETURN(const Place place, Find(path));
  const std::string action = fmt::format("cannot remove {}", path);
  if (place.node == nullptr) return base::NotFound(action + ": No such file or directory");
  if (place.node->directory != directory) {
    return base::IoError(action + (directory ? ": Not a directory" : ": Is a directory"));
  }
  if (!place.node->live_names.empty()) return base::IoError(action + ": Directory not empty");
  Do({.changes = {{place.directory, place.name, nullptr}}});
  return Status();
}

Status MemEnv::SyncDirectory(const std::string& path) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, FindNode(path));
  if (!node->directory) {
    return base::IoError(fmt::format("cannot sync directory {}: Not a directory", path));
  }
  // An operation reaches the disk whole, and after the earlier ones of each directory it touches:
  // so go backwards and collect the directories that are drawn in.
  std::set<const MemNode*> synced = {node.get()};
  std::vector<bool> reaches(pending_.size(), false);
  for (size_t i = pending_.size(); i-- > 0;) {
    const auto touches = [&](const NameChange& c) { return synced.contains(c.directory.get()); };
    const auto& changes = pending_[i].changes;
    if (std::any_of(changes.begin(), changes.end(), touches)) {
      reaches[i] = true;
      for (const NameChange& change : changes) synced.insert(change.directory.get());
    }
  }
  std::vector<PendingOp> rest;
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (!reaches[i]) {
      rest.push_back(std::move(pending_[i]));
      continue;
    }
    for (const NameChange& change : pending_[i].changes) {
      SetName(change.directory->durable_names, change.name, change.node);
    }
  }
  pending_ = std::move(rest);
  return Status();
}

Result<env::Space> MemEnv::FreeSpace(const std::string& path) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(FindNode(path).status());
  const uint64_t total = space_bytes_max_;
  return env::Space{.free = total > used_bytes_ ? total - used_bytes_ : 0, .total = total};
}

Result<std::unique_ptr<env::FileLock>> MemEnv::Lock(const std::string& path) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(Place place, Find(path));
  if (place.node == nullptr) {
    place.node = NewNode(false);
    Do({.changes = {{place.directory, place.name, place.node}}});
  }
  if (!locked_.insert(place.node.get()).second) {
    return base::Busy(fmt::format("{} is locked by another process", path));
  }
  return std::unique_ptr<env::FileLock>(new MemLock(*this, place.node, epoch_));
}

Status MemEnv::SetModified(const std::string& path, base::WallTime time) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, FindNode(path));
  node->modified = time;
  return Status();
}

uint64_t MemEnv::Random() {
  MutexLock lock(mutex_);
  return random_();
}

void MemEnv::SetSpaceLimit(uint64_t bytes_max) {
  MutexLock lock(mutex_);
  space_bytes_max_ = bytes_max;
}

void MemEnv::PowerCut(uint64_t seed) {
  std::mt19937_64 fate(seed);
  MutexLock lock(mutex_);
  Cut(&fate);
}

void MemEnv::PowerCutDropAll() {
  MutexLock lock(mutex_);
  Cut(nullptr);
}

void MemEnv::ProcessCrash() {
  MutexLock lock(mutex_);
  ++epoch_;
  locked_.clear();
  used_bytes_ = 0;
  std::vector<MemNode*> todo = {root_.get()};
  while (!todo.empty()) {
    MemNode* const node = todo.back();
    todo.pop_back();
    node->handles = 0;
    used_bytes_ += node->live.size();
    for (const auto& [name, child] : node->live_names) todo.push_back(child.get());
  }
}

void MemEnv::Cut(std::mt19937_64* fate) {
  ++epoch_;
  locked_.clear();
  if (fate != nullptr) SurviveNames(*fate);
  pending_.clear();
  used_bytes_ = 0;
  std::vector<MemNode*> todo = {root_.get()};
  while (!todo.empty()) {
    MemNode* const node = todo.back();
    todo.pop_back();
    Restore(*node, fate);
    used_bytes_ += node->live.size();
    for (const auto& [name, child] : node->live_names) todo.push_back(child.get());
  }
}

// Of each directory a prefix of its pending changes reaches the disk; an operation on two
// directories needs both, and if it is lost, what came after it in either is lost too.
void MemEnv::SurviveNames(std::mt19937_64& fate) {
  std::map<uint64_t, bool> stopped;  // by inode, so that the seed alone decides
  for (const PendingOp& op : pending_) {
    bool lost = fate() % 4 == 0;
    for (const NameChange& change : op.changes) lost = lost || stopped[change.directory->inode];
    for (const NameChange& change : op.changes) {
      if (lost) {
        stopped[change.directory->inode] = true;
      } else {
        SetName(change.directory->durable_names, change.name, change.node);
      }
    }
  }
}

void MemEnv::Restore(MemNode& node, std::mt19937_64* fate) {
  node.handles = 0;
  node.links = 1;
  if (node.directory) {
    node.live_names = node.durable_names;
    return;
  }
  if (fate != nullptr) {
    const bool same = node.dirty.empty() && node.live.size() == node.durable.size();
    if (!same || node.forgotten) node.durable = TearContent(node, *fate);
  }
  node.live = node.durable;
  node.dirty.clear();
  node.forgotten = false;
}

}  // namespace understudy::test
