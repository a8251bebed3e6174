// SPDX-License-Identifier: Apache-2.0
#include "server/scrub_copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/first_line.h"
#include "server/database_lock.h"
#include "server/group_view.h"

namespace understudy::server {
namespace {

using base::Generation;
using base::PageNo;
using base::Result;
using base::Status;

// How long the application's write lock is waited for.
constexpr base::Duration kWriteLockWait = std::chrono::milliseconds(100);

struct Done {};

// Runs `function` on the copy's thread.
template <typename Value, typename Component>
Result<Value> On(TaskQueue<Component>& tasks, std::function<Result<Value>(Component&)> function) {
  return tasks.template Call<Value>(std::move(function), kScrubTaskLimit);
}

class PassiveAccess final : public scrub::CopyAccess {
 public:
  explicit PassiveAccess(std::shared_ptr<PassiveCopy> copy) : copy_(std::move(copy)) {}

  Result<log::PageCheck> CheckPages(PageNo first, uint32_t count) override {
    return Call<log::PageCheck>(
        [=](replay::Replayer& replayer) { return replayer.CheckPages(first, count); });
  }
  Status RepairPage(PageNo page, base::ByteView image) override {
    base::Bytes bytes(image.begin(), image.end());
    return Do(
        [page, bytes](replay::Replayer& replayer) { return replayer.RepairPage(page, bytes); });
  }
  Result<std::vector<log::GenerationInfo>> Generations() override {
    return Call<std::vector<log::GenerationInfo>>(
        [](replay::Replayer& replayer) -> Result<std::vector<log::GenerationInfo>> {
          return replayer.log().generations();
        });
  }
  Status CheckGeneration(Generation generation) override {
    return Do([generation](replay::Replayer& replayer) {
      return replayer.log().CheckGeneration(generation);
    });
  }
  // On replay's thread: while it runs, nobody puts another log in the place of this one.
  Status ReplaceGeneration(Generation generation, base::ByteView other) override {
    base::Bytes bytes(other.begin(), other.end());
    return Do([generation, bytes](replay::Replayer& replayer) {
      return replayer.log().ReplaceGeneration(generation, bytes);
    });
  }

 private:
  template <typename Value>
  Result<Value> Call(std::function<Result<Value>(replay::Replayer&)> function) {
    return On<Value, replay::Replayer>(copy_->tasks(), std::move(function));
  }
  Status Do(const std::function<Status(replay::Replayer&)>& function) {
    return Call<Done>([function](replay::Replayer& replayer) -> Result<Done> {
             RETURN_IF_ERROR(function(replayer));
             return Done();
           })
        .status();
  }

  const std::shared_ptr<PassiveCopy> copy_;
};

class ActiveAccess final : public scrub::CopyAccess {
 public:
  ActiveAccess(env::Env& env, std::shared_ptr<ActiveCopy> copy)
      : env_(env), copy_(std::move(copy)) {}

  Result<log::PageCheck> CheckPages(PageNo first, uint32_t count) override {
    return Call<log::PageCheck>(
        [=](capture::Capture& capture) { return capture.CheckPages(first, count); });
  }
  // Only while this is the mounted copy beyond doubt: the repair makes a record.
  Status RepairPage(PageNo page, base::ByteView image) override {
    base::Bytes bytes(image.begin(), image.end());
    return Do([&env = env_, copy = copy_, page, bytes](capture::Capture& capture) -> Status {
      ASSIGN_OR_RETURN(const DatabaseLock lock,
                       LockDatabase(env, copy->path(), env.Now() + kWriteLockWait));
      if (!copy->IsMountedNow()) return base::Unavailable("the active copy is not mounted now");
      return capture.RepairPage(*lock, page, bytes);
    });
  }
  Result<std::vector<log::GenerationInfo>> Generations() override {
    ASSIGN_OR_RETURN(const Mount mount, copy_->mount());
    return mount.log->generations();
  }
  Status CheckGeneration(Generation generation) override {
    ASSIGN_OR_RETURN(const Mount mount, copy_->mount());
    return mount.log->CheckGeneration(generation);
  }
  Status ReplaceGeneration(Generation generation, base::ByteView other) override {
    base::Bytes bytes(other.begin(), other.end());
    return Do([generation, bytes](capture::Capture& capture) {
      return capture.log().ReplaceGeneration(generation, bytes);
    });
  }

 private:
  template <typename Value>
  Result<Value> Call(std::function<Result<Value>(capture::Capture&)> function) {
    return On<Value, capture::Capture>(copy_->tasks(), std::move(function));
  }
  Status Do(const std::function<Status(capture::Capture&)>& function) {
    return Call<Done>([function](capture::Capture& capture) -> Result<Done> {
             RETURN_IF_ERROR(function(capture));
             return Done();
           })
        .status();
  }

  env::Env& env_;
  const std::shared_ptr<ActiveCopy> copy_;
};

class PeerCopies final : public scrub::OtherCopies {
 public:
  PeerCopies(const ServerContext& context, base::DatabaseId id, std::string name)
      : context_(context), id_(id), name_(std::move(name)) {}

  Result<Found> FetchPage(PageNo page, uint64_t hash) override {
    v1::FetchPageRequest request;
    request.set_database_id(id_.ToHex());
    request.set_page(page.value);
    request.set_hash(hash);
    return AskEach([&](rpc::AdminClient& client) -> Result<base::Bytes> {
      ASSIGN_OR_RETURN(const v1::FetchPageResponse answer, client.FetchPage(request, kFetchLimit));
      if (!answer.found()) return base::NotFound("has another image of it");
      return base::Bytes(answer.image().begin(), answer.image().end());
    });
  }

  Result<Found> FetchGeneration(Generation generation, uint32_t skip) override {
    return AskEach([&](rpc::AdminClient& client) -> Result<base::Bytes> {
      v1::FetchGenerationRequest request;
      request.set_database_id(id_.ToHex());
      request.set_generation(generation.value);
      base::Bytes whole;
      while (true) {
        request.set_offset(whole.size());
        ASSIGN_OR_RETURN(const v1::FetchGenerationResponse piece,
                         client.FetchGeneration(request, kFetchLimit));
        whole.insert(whole.end(), piece.data().begin(), piece.data().end());
        if (whole.size() >= piece.total() || whole.size() > kFetchedGenerationMax) break;
        if (piece.data().empty()) return base::Unavailable("sent an empty piece");
      }
      if (skip == 0) return whole;
      --skip;
      return base::NotFound("was asked before");
    });
  }

 private:
  // The active copy's server first.
  Result<std::vector<std::string>> Servers() {
    ASSIGN_OR_RETURN(const cluster::DatabaseRecord record, context_.registry.FindDatabase(name_));
    if (record.id != id_) return base::Unavailable(name_ + " is another database now");
    std::vector<std::string> servers;
    for (const cluster::CopyRecord& copy : record.copies) {
      if (copy.server == context_.server) continue;
      const auto at = copy.server == record.active ? servers.begin() : servers.end();
      servers.insert(at, copy.server);
    }
    return servers;
  }

  Result<Found> AskEach(const std::function<Result<base::Bytes>(rpc::AdminClient&)>& ask) {
    ASSIGN_OR_RETURN(const std::vector<std::string> servers, Servers());
    std::string said;
    bool all_answered = true;
    for (const std::string& server : servers) {
      const auto client = DialServer(context_, server);
      Result<base::Bytes> bytes = client.ok() ? ask(**client) : client.status();
      if (bytes.ok()) return Found{std::move(bytes).value(), server};
      const bool answered = client.ok() && bytes.status().code() == base::Code::kNotFound;
      all_answered = all_answered && answered;
      const std::string text = client.ok() ? bytes.status().message() : "is not reachable";
      said += fmt::format("{}{} {}", said.empty() ? "" : "; ", server, base::FirstLine(text));
    }
    if (servers.empty()) return base::NotFound("there is no other copy");
    if (all_answered) return base::NotFound("no other copy has it: " + said);
    return base::Unavailable("not every other copy could be asked: " + said);
  }

  const ServerContext context_;
  const base::DatabaseId id_;
  const std::string name_;
};

}  // namespace

std::unique_ptr<scrub::CopyAccess> AccessTo(const ServerContext& context,
                                            const CopyHost::Hosted& copy) {
  if (copy.active != nullptr) return std::make_unique<ActiveAccess>(context.env, copy.active);
  return std::make_unique<PassiveAccess>(copy.passive);
}

std::unique_ptr<scrub::OtherCopies> OthersOf(const ServerContext& context, base::DatabaseId id,
                                             const std::string& name) {
  return std::make_unique<PeerCopies>(context, id, name);
}

Result<std::optional<base::Bytes>> ReadPageWithHash(const CopyHost::Hosted& copy, PageNo page,
                                                    uint64_t hash) {
  using Image = std::optional<base::Bytes>;
  if (copy.active != nullptr) {
    return On<Image, capture::Capture>(copy.active->tasks(), [=](capture::Capture& capture) {
      return capture.ReadPageWithHash(page, hash);
    });
  }
  return On<Image, replay::Replayer>(copy.passive->tasks(), [=](replay::Replayer& replayer) {
    return replayer.ReadPageWithHash(page, hash);
  });
}

Result<log::LogStore::GenerationBytes> ReadGeneration(const CopyHost::Hosted& copy,
                                                      Generation generation, uint64_t offset) {
  using Piece = log::LogStore::GenerationBytes;
  if (copy.active != nullptr) {
    ASSIGN_OR_RETURN(const Mount mount, copy.active->mount());
    return mount.log->ReadGeneration(generation, offset, kFetchPieceBytes);
  }
  return On<Piece, replay::Replayer>(copy.passive->tasks(), [=](replay::Replayer& replayer) {
    return replayer.log().ReadGeneration(generation, offset, kFetchPieceBytes);
  });
}

}  // namespace understudy::server
