// SPDX-License-Identifier: Apache-2.0
#include "etcd/key_watch.h"

#include <fmt/format.h>

#include <utility>

#include "base/thread_name.h"
#include "cluster/coordinator_limits.h"
#include "etcd/verdict.h"

namespace understudy::etcd {
namespace {

using cluster::Change;
using cluster::Changes;
using cluster::Revision;

etcdserverpb::WatchRequest CreateRequest(const std::string& prefix, Revision from) {
  etcdserverpb::WatchRequest request;
  etcdserverpb::WatchCreateRequest& create = *request.mutable_create_request();
  create.set_key(prefix);
  create.set_range_end(cluster::PrefixEnd(prefix));
  create.set_start_revision(from);
  create.set_fragment(true);  // else one message could be of any size
  return request;
}

Change ToChange(const mvccpb::Event& event, size_t prefix_bytes) {
  Change change;
  change.key = event.kv().key().substr(prefix_bytes);
  if (event.type() == mvccpb::Event::PUT) change.value = event.kv().value();
  change.revision = event.kv().mod_revision();
  return change;
}

}  // namespace

KeyWatch::KeyWatch(EtcdClient& client, std::string prefix)
    : client_(client), prefix_(std::move(prefix)) {
  client_.SetOnLeft([this](size_t number) { EndpointLeft(number); });
}

KeyWatch::~KeyWatch() {
  std::shared_ptr<grpc::ClientContext> context;
  std::thread thread;
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    context = context_;
    thread = std::move(thread_);
  }
  changed_.NotifyAll();
  if (context) context->TryCancel();
  if (thread.joinable()) thread.join();
}

void KeyWatch::SetWakeup(std::function<void()> wakeup) {
  base::MutexLock lock(mutex_);
  wakeup_ = std::move(wakeup);
}

base::Result<Changes> KeyWatch::ChangesSince(Revision revision) {
  const auto end = std::chrono::steady_clock::now() + kUpLimit;
  {
    base::MutexLock lock(mutex_);
    if (!thread_.joinable()) {
      buffer_.Restart(revision);
      error_ = "the watch was not answered";
      thread_ = std::thread([this] { Run(); });
    }
    while (!up_ && !buffer_.HasNews(revision)) {
      const auto left = end - std::chrono::steady_clock::now();
      if (left <= base::Duration(0)) break;
      changed_.WaitFor(mutex_, left);
    }
    if (up_ || buffer_.HasNews(revision)) return buffer_.Since(revision);
  }
  GiveUpOpening();
  base::MutexLock lock(mutex_);
  return base::Unavailable(
      fmt::format("no watch on etcd within {} ms: {}\ncheck coordinator.endpoints",
                  std::chrono::duration_cast<std::chrono::milliseconds>(kUpLimit).count(), error_));
}

void KeyWatch::Run() {
  base::NameThisThread("etcd-watch");
  while (true) {
    const base::Status ended = WatchOnce();
    base::MutexLock lock(mutex_);
    up_ = false;
    context_.reset();
    buffer_.DropIncomplete();
    error_ = ended.message();
    if (!stop_) changed_.WaitFor(mutex_, kRetryPause);
    if (stop_) return;
  }
}

// One stream, until it ends. The status says why it ended, never ok.
base::Status KeyWatch::WatchOnce() {
  auto context = std::make_shared<grpc::ClientContext>();
  ASSIGN_OR_RETURN(const EtcdClient::Endpoint* const endpoint, client_.Open(*context));
  Revision next = 0;
  {
    base::MutexLock lock(mutex_);
    if (stop_) return base::Cancelled("stopped");
    context_ = context;
    endpoint_ = endpoint->number;
    next = buffer_.next();
  }
  const std::unique_ptr<Stream> stream = endpoint->watch->Watch(context.get());
  base::Status why;
  if (stream->Write(CreateRequest(prefix_, next))) {
    etcdserverpb::WatchResponse response;
    while (why.ok() && stream->Read(&response)) why = Take(response);
  }
  context->TryCancel();  // where the reason to end is ours
  const grpc::Status status = stream->Finish();
  if (!why.ok()) return why.WithContext(fmt::format("etcd at {}", endpoint->address));
  if (!status.ok() && Judge(status) == Verdict::kLoginEnded) client_.ForgetLogin();
  client_.Leave(*endpoint);
  return base::Unavailable(
      fmt::format("etcd at {} ended the watch: {}", endpoint->address, Describe(status)));
}

base::Status KeyWatch::Take(const etcdserverpb::WatchResponse& response) {
  const Revision compacted = response.compact_revision();
  bool news = false;
  {
    base::MutexLock lock(mutex_);
    if (stop_) return base::Cancelled("stopped");
    if (response.canceled() && compacted > 0) {
      buffer_.Restart(compacted);
      news = true;
    } else if (response.created() && !response.canceled()) {
      up_ = true;
    }
    for (const mvccpb::Event& event : response.events()) {
      buffer_.Add(ToChange(event, prefix_.size()));
    }
    if (response.events_size() > 0 && !response.fragment()) {
      buffer_.Complete();
      news = true;
    }
  }
  changed_.NotifyAll();
  if (news) Wake();
  if (!response.canceled()) return {};
  if (compacted > 0) {
    return base::Unavailable(
        fmt::format("it has forgotten the changes before revision {}", compacted));
  }
  client_.ForgetLogin();  // an ended login is not told apart from a missing permission
  return base::Unavailable(fmt::format("it refused to watch {}: {}", prefix_,
                                       response.cancel_reason().empty()
                                           ? std::string("no reason given")
                                           : response.cancel_reason()));
}

void KeyWatch::EndpointLeft(size_t number) {
  std::shared_ptr<grpc::ClientContext> context;
  {
    base::MutexLock lock(mutex_);
    if (context_ == nullptr || endpoint_ != number) return;
    context = context_;
  }
  context->TryCancel();
}

// A stream that was opened to a member that does not answer would wait for its pings.
void KeyWatch::GiveUpOpening() {
  std::shared_ptr<grpc::ClientContext> context;
  {
    base::MutexLock lock(mutex_);
    if (up_) return;
    context = context_;
  }
  if (context) context->TryCancel();
}

void KeyWatch::Wake() {
  std::function<void()> wakeup;
  {
    base::MutexLock lock(mutex_);
    wakeup = wakeup_;
  }
  if (wakeup) wakeup();
}

}  // namespace understudy::etcd
