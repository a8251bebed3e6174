// SPDX-License-Identifier: Apache-2.0
// A StatusSource for tests: server s1 of a group with the active copy of "orders", a passive one of
// "mail" and none of "parts". Threading: thread-safe while nobody changes `snapshot`.
#pragma once

#include <memory>
#include <utility>

#include "web/status_source.h"

namespace understudy::web::test {

class FixedSource final : public StatusSource {
 public:
  FixedSource() {
    snapshot.server = "s1";
    snapshot.version = "1";
    snapshot.now = {1'000'000};
    snapshot.coordinator_silence = std::chrono::milliseconds(50);
    snapshot.lease = std::chrono::seconds(6);
    LocalCopy orders;
    orders.database = "orders";
    orders.active = true;
    orders.state = "Mounted";
    orders.writable = true;
    orders.queues_known = true;
    orders.durable = {base::Term(4), base::Seq(1000)};
    LocalCopy mail;
    mail.database = "mail";
    mail.state = "Healthy";
    mail.readable = true;
    mail.queues_known = true;
    mail.copy_queue = 3;
    mail.replay_queue = 7;
    mail.copied_age = std::chrono::milliseconds(5);
    mail.replayed_age = std::chrono::milliseconds(900);
    snapshot.copies = {orders, mail};
    auto group = std::make_shared<GroupView>();
    for (const char* name : {"orders", "mail", "parts"}) group->databases.push_back(Record(name));
    group->databases[0].active = "s1";
    cluster::ServerRecord server;
    server.name = "s2";
    server.address = "127.0.0.1:1";
    server.web = "127.0.0.1:2";
    server.alive = true;
    group->servers.push_back(server);
    group->databases[1].dial = cluster::MountDial::kBest;
    group->databases[1].copies[1].preference = 2;
    group->databases[1].copies[1].activation_suspended = true;
    group->paused = true;
    snapshot.group = std::move(group);
  }
  Snapshot Take() const override { return snapshot; }
  LocalCopy& orders() { return snapshot.copies[0]; }
  LocalCopy& mail() { return snapshot.copies[1]; }

  Snapshot snapshot;

 private:
  static cluster::DatabaseRecord Record(const char* name) {
    cluster::DatabaseRecord record;
    record.name = name;
    record.active = "s2";
    record.term = base::Term(4);
    for (const char* server : {"s1", "s2"}) {
      cluster::CopyRecord copy;
      copy.server = server;
      record.copies.push_back(copy);
    }
    record.history.push_back(
        {base::Term(4), {base::Term(3), base::Seq(77)}, "s2", {1000}, "switchover"});
    return record;
  }
};

}  // namespace understudy::web::test
