// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "base/mutex.h"
#include "rpc/admin_client.h"
#include "rpc/ship_connection.h"

namespace understudy::sim {

using base::Result;
using base::Status;

// One connection: what is under way in both directions.
struct Wire {
  static constexpr size_t kUnderWayMax = 256;  // messages

  struct Item {
    base::SteadyTime arrives;
    v1::ShipMessage message;
    bool end = false;
  };
  struct Way {
    std::string from;
    std::string to;
    std::deque<Item> items;
    bool reset = false;  // whoever reads it learns that the connection is gone
    base::SteadyTime heard;
    int changed = 0;  // its address is what readers and writers wait for
  };
  Way ways[2];
  int ends = 0;  // that somebody holds
};

namespace {

class WireEnd final : public rpc::ShipStream {
 public:
  WireEnd(SimInternet& internet, std::shared_ptr<Wire> wire, int reads)
      : internet_(internet), wire_(std::move(wire)), reads_(reads) {
    ++wire_->ends;
  }
  ~WireEnd() override {
    Cancel();
    --wire_->ends;
  }

  bool Read(v1::ShipMessage& message) override {
    Wire::Way& way = wire_->ways[reads_];
    test::SimScheduler& scheduler = internet_.scheduler();
    while (true) {
      const base::SteadyTime now = scheduler.TrueNow();
      if (cancelled_ || way.reset) return false;
      const bool blocked = internet_.IsBlocked(way.from, way.to);
      if (!blocked && !way.items.empty() && way.items.front().arrives <= now) {
        Wire::Item item = std::move(way.items.front());
        way.items.pop_front();
        way.heard = now;
        scheduler.Wake(&way.changed, true);
        if (item.end) way.reset = true;
        if (item.end) return false;
        message = std::move(item.message);
        return true;
      }
      // Where nothing is sent, keepalive's own messages are heard.
      const bool hears = !blocked && !internet_.IsBlocked(way.to, way.from);
      if (hears) way.heard = now;
      if (now - way.heard >= SimInternet::kKeepalive) return false;
      base::Duration limit = std::chrono::seconds(1);
      if (!way.items.empty() && !blocked) limit = way.items.front().arrives - now;
      scheduler.WaitFor(&way.changed, limit);
    }
  }
  bool Write(const v1::ShipMessage& message) override { return Push({{}, message, false}); }
  void Cancel() override {
    if (std::exchange(cancelled_, true)) return;
    Wire::Way& way = wire_->ways[1 - reads_];
    way.items.push_back({internet_.scheduler().TrueNow() + internet_.Delay(), {}, true});
    internet_.scheduler().Wake(&way.changed, true);
    internet_.scheduler().Wake(&wire_->ways[reads_].changed, true);
  }
  Status Finish() override { return base::Unavailable("the connection was lost"); }

 private:
  bool Push(Wire::Item item) {
    Wire::Way& way = wire_->ways[1 - reads_];
    test::SimScheduler& scheduler = internet_.scheduler();
    while (way.items.size() >= Wire::kUnderWayMax && !cancelled_ && !Broken()) {
      scheduler.WaitFor(&way.changed, std::chrono::seconds(1));
    }
    if (cancelled_ || Broken()) return false;
    base::SteadyTime arrives = scheduler.TrueNow() + internet_.Delay() + internet_.stream_delay();
    if (!way.items.empty()) arrives = std::max(arrives, way.items.back().arrives);
    item.arrives = arrives;
    way.items.push_back(std::move(item));
    scheduler.Wake(&way.changed, true);
    return true;
  }
  bool Broken() const {
    const Wire::Way& way = wire_->ways[reads_];
    return way.reset || internet_.scheduler().TrueNow() - way.heard >= SimInternet::kKeepalive;
  }

  SimInternet& internet_;
  const std::shared_ptr<Wire> wire_;
  const int reads_;
  bool cancelled_ = false;
};

template <typename Request, typename Response>
bool Try(rpc::AdminBackend& backend, Result<Response> (rpc::AdminBackend::*method)(const Request&),
         const google::protobuf::Message& request, google::protobuf::Message& response,
         Status& status) {
  const auto* const typed = dynamic_cast<const Request*>(&request);
  if (typed == nullptr) return false;
  Result<Response> result = (backend.*method)(*typed);
  status = result.status();
  if (result.ok()) dynamic_cast<Response&>(response) = std::move(result).value();
  return true;
}

// The calls between servers, and those that the workload makes.
Status Dispatch(rpc::AdminBackend& backend, const google::protobuf::Message& request,
                google::protobuf::Message& response) {
  using B = rpc::AdminBackend;
  Status status;
  const bool known = Try(backend, &B::LocalStatus, request, response, status) ||
                     Try(backend, &B::Relinquish, request, response, status) ||
                     Try(backend, &B::AwaitMount, request, response, status) ||
                     Try(backend, &B::Confirm, request, response, status) ||
                     Try(backend, &B::AnnounceBackup, request, response, status) ||
                     Try(backend, &B::FetchPage, request, response, status) ||
                     Try(backend, &B::FetchGeneration, request, response, status) ||
                     Try(backend, &B::Holds, request, response, status) ||
                     Try(backend, &B::ReseedCopy, request, response, status) ||
                     Try(backend, &B::Switchover, request, response, status) ||
                     Try(backend, &B::Failover, request, response, status) ||
                     Try(backend, &B::SetDatabase, request, response, status) ||
                     Try(backend, &B::Status, request, response, status) ||
                     Try(backend, &B::AddDatabase, request, response, status);
  if (known) return status;
  return base::Unavailable("nothing carries " + std::string(request.GetTypeName()) + " here");
}

class Caller final : public rpc::CallCarrier {
 public:
  Caller(SimInternet& internet, std::string from, std::string to)
      : internet_(internet), from_(std::move(from)), to_(std::move(to)) {}

  Status Call(const google::protobuf::Message& request, google::protobuf::Message& response,
              base::Duration timeout) override {
    test::SimScheduler& scheduler = internet_.scheduler();
    const base::SteadyTime end = scheduler.TrueNow() + timeout;
    auto answer = std::make_shared<Answer>();
    answer->request.reset(request.New());
    answer->request->CopyFrom(request);
    answer->response.reset(response.New());
    const SimInternet::Host* host = internet_.Find(to_);
    const test::SimScheduler::ProcessId met = host == nullptr ? 0 : host->process;
    if (!Cross(from_, to_, end)) {
      if (met != 0 && internet_.IsLucky()) ArriveLate(answer, met);
      return NoAnswer();
    }
    host = internet_.Find(to_);
    if (host == nullptr) return base::Unavailable("server " + to_ + " is not reachable: refused");
    if (internet_.IsNth(from_)) {
      if (internet_.IsLucky()) Handle(scheduler, *host, answer);
      scheduler.Sleep(end - scheduler.TrueNow());
      return NoAnswer();
    }
    Handle(scheduler, *host, answer);
    while (!answer->done) {
      const base::Duration left = end - scheduler.TrueNow();
      if (left <= base::Duration(0)) return NoAnswer();
      scheduler.WaitFor(answer.get(), left);
    }
    if (!Cross(to_, from_, end)) return NoAnswer();
    if (answer->status.ok()) response.CopyFrom(*answer->response);
    return answer->status;
  }

 private:
  struct Answer {
    std::unique_ptr<google::protobuf::Message> request;
    std::unique_ptr<google::protobuf::Message> response;
    Status status;
    bool done = false;
  };
  static void Handle(test::SimScheduler& scheduler, const SimInternet::Host& host,
                     const std::shared_ptr<Answer>& answer) {
    rpc::AdminBackend* const admin = host.admin;
    scheduler.StartIn(host.process, [answer, admin, &scheduler] {
      answer->status = Dispatch(*admin, *answer->request, *answer->response);
      answer->done = true;
      scheduler.Wake(answer.get(), true);
    });
  }
  // The caller has given up, and has perhaps asked again: what it had sent comes nevertheless, as
  // long as the connection is kept.
  void ArriveLate(const std::shared_ptr<Answer>& answer, test::SimScheduler::ProcessId met) {
    SimInternet& internet = internet_;
    internet.scheduler().StartIn(
        internet.carrier(), [&internet, answer, met, from = from_, to = to_] {
          test::SimScheduler& scheduler = internet.scheduler();
          const base::SteadyTime end = scheduler.TrueNow() + SimInternet::kKeepalive;
          while (internet.IsBlocked(from, to)) {
            if (scheduler.TrueNow() >= end) return;
            scheduler.Sleep(std::chrono::milliseconds(20));
          }
          const SimInternet::Host* const host = internet.Find(to);
          if (host == nullptr || host->process != met) return;  // the connection was reset
          internet.CountLate();
          Handle(scheduler, *host, answer);
        });
  }
  Status NoAnswer() const { return base::TimedOut("server " + to_ + " did not answer in time"); }
  bool Cross(const std::string& from, const std::string& to, base::SteadyTime end) {
    test::SimScheduler& scheduler = internet_.scheduler();
    const base::SteadyTime comes = scheduler.TrueNow() + internet_.CallDelay();
    scheduler.Sleep(std::min(comes, end) - scheduler.TrueNow());
    while (internet_.IsBlocked(from, to)) {
      if (scheduler.TrueNow() >= end) return false;
      scheduler.Sleep(std::chrono::milliseconds(20));
    }
    return scheduler.TrueNow() < end;
  }

  SimInternet& internet_;
  const std::string from_;
  const std::string to_;
};

class SimDialer final : public rpc::Dialer {
 public:
  SimDialer(SimInternet& internet, std::string own) : internet_(internet), own_(std::move(own)) {}

  // An address is the server's name.
  Result<std::unique_ptr<rpc::AdminClient>> DialAdmin(const std::string& address,
                                                      base::Duration timeout,
                                                      const rpc::ChannelSecurity&) override {
    RETURN_IF_ERROR(Reach(address, timeout));
    v1::HelloResponse hello;
    hello.set_server(address);
    return rpc::AdminClient::Over(std::make_unique<Caller>(internet_, own_, address), address,
                                  hello);
  }
  Result<std::unique_ptr<rpc::ShipConnection>> DialShip(const std::string& address,
                                                        const std::string& expected_peer,
                                                        const std::string& own_name,
                                                        std::shared_ptr<rpc::Signal> signal,
                                                        base::Duration timeout,
                                                        const rpc::ChannelSecurity&) override {
    RETURN_IF_ERROR(Reach(address, timeout));
    test::SimScheduler& scheduler = internet_.scheduler();
    auto wire = std::make_shared<Wire>();
    wire->ways[0] = {
        .from = own_name, .to = expected_peer, .items = {}, .heard = scheduler.TrueNow()};
    wire->ways[1] = {
        .from = expected_peer, .to = own_name, .items = {}, .heard = scheduler.TrueNow()};
    internet_.wires().push_back(wire);
    const SimInternet::Host host = *internet_.Find(address);
    scheduler.StartIn(host.process, [&internet = internet_, wire, host, expected_peer] {
      auto opened =
          rpc::ShipConnection::Open(std::make_unique<WireEnd>(internet, wire, 0), expected_peer,
                                    std::make_shared<rpc::Signal>(), std::chrono::seconds(5));
      if (opened.ok()) host.ships->Serve(**opened);
    });
    return rpc::ShipConnection::Open(std::make_unique<WireEnd>(internet_, wire, 1), own_name,
                                     std::move(signal), timeout);
  }

 private:
  Status Reach(const std::string& address, base::Duration timeout) {
    test::SimScheduler& scheduler = internet_.scheduler();
    const base::SteadyTime end = scheduler.TrueNow() + timeout;
    scheduler.Sleep(internet_.Delay() + internet_.Delay());
    while (internet_.IsBlocked(own_, address) || internet_.IsBlocked(address, own_)) {
      if (scheduler.TrueNow() >= end)
        return base::Unavailable("server " + address + " is not reachable");
      scheduler.Sleep(std::chrono::milliseconds(50));
    }
    if (internet_.Find(address) != nullptr) return {};
    return base::Unavailable("server " + address + " is not reachable: refused");
  }

  SimInternet& internet_;
  const std::string own_;
};

}  // namespace

const SimInternet::Host* SimInternet::Find(const std::string& server) const {
  const auto found = hosts_.find(server);
  return found != hosts_.end() && scheduler_.IsAlive(found->second.process) ? &found->second
                                                                            : nullptr;
}

void SimInternet::Died(const std::string& server) {
  Close(server);
  for (const std::shared_ptr<Wire>& wire : wires_) {
    for (Wire::Way& way : wire->ways) {
      if (way.from != server && way.to != server) continue;
      way.reset = true;
      scheduler_.Wake(&way.changed, true);
    }
  }
  std::erase_if(wires_, [&](const std::shared_ptr<Wire>& wire) {
    return wire->ways[0].from == server || wire->ways[0].to == server;
  });
}

size_t SimInternet::CountConnections(const std::string& server) const {
  return static_cast<size_t>(std::count_if(wires_.begin(), wires_.end(), [&](const auto& wire) {
    const Wire::Way& way = wire->ways[0];
    return (way.from == server || way.to == server) && wire->ends > 0;
  }));
}

base::Duration SimInternet::Delay() {
  return std::chrono::microseconds(50) +
         base::Duration(static_cast<int64_t>(random_() % static_cast<uint64_t>(slowest_.count())));
}

base::Duration SimInternet::CallDelay() {
  const uint64_t one_in = slowest_ > kFast ? kHeldUpOneInSlow : kHeldUpOneIn;
  if (random_() % one_in != 0) return Delay();
  return std::chrono::milliseconds(random_() % kHeldUpMost.count());
}

std::unique_ptr<rpc::Dialer> SimInternet::DialerOf(const std::string& server) {
  return std::make_unique<SimDialer>(*this, server);
}

}  // namespace understudy::sim
