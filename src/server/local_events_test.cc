// SPDX-License-Identifier: Apache-2.0
#include "server/local_events.h"

#include <gtest/gtest.h>

#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::server {
namespace {

constexpr char kDirectory[] = "/data";

cluster::Event EventOf(const std::string& message) {
  cluster::Event event;
  event.number = cluster::EventNumber::kServerStarted;
  event.server = "s1";
  event.message = message;
  return event;
}

class LocalEventsTest : public ::testing::Test {
 protected:
  LocalEventsTest() { EXPECT_TRUE(env_.MakeDirectories(kDirectory).ok()); }
  static std::vector<std::string> Messages(const LocalEvents& events) {
    const auto read = events.Read();
    EXPECT_TRUE(read.ok()) << read.status().ToString();
    std::vector<std::string> messages;
    if (!read.ok()) return messages;
    for (const cluster::Event& event : *read) messages.push_back(event.message);
    return messages;
  }
  using Texts = std::vector<std::string>;

  test::MemEnv env_;
};

TEST_F(LocalEventsTest, AreThereAfterARestartAndAPowerCut) {
  {
    LocalEvents events(env_, kDirectory);
    EXPECT_EQ(Messages(events), Texts{});
    events.Keep({EventOf("one"), EventOf("two")});
    events.Keep({});
  }
  env_.PowerCutDropAll();
  LocalEvents events(env_, kDirectory);
  events.Keep({EventOf("three")});
  EXPECT_EQ(Messages(events), (Texts{"one", "two", "three"}));
}

TEST_F(LocalEventsTest, TheLongestMessageFitsHoweverItIsEscaped) {
  LocalEvents events(env_, kDirectory);
  events.Keep({EventOf(std::string(2 * cluster::kEventMessageBytesMax, '\x01')), EventOf("next")});
  const Texts messages = Messages(events);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].substr(0, cluster::kEventMessageBytesMax),
            std::string(cluster::kEventMessageBytesMax, '\x01'));
}

TEST_F(LocalEventsTest, WhatIsDamagedIsLeftOut) {
  LocalEvents(env_, kDirectory).Keep({EventOf("one"), EventOf("two")});
  const std::string path = cluster::EventRingPath(kDirectory);
  const auto whole = env::ReadFile(env_, path, 1 << 20);
  ASSERT_TRUE(whole.ok());
  for (size_t at = 0; at < whole->size(); ++at) {
    base::Bytes bytes = *whole;
    bytes[at] ^= 0x10;
    ASSERT_TRUE(env::WriteFileAtomically(env_, path, bytes).ok());
    const Texts messages = Messages(LocalEvents(env_, kDirectory));
    EXPECT_TRUE(messages.empty() || messages == Texts{"one"}) << at;
  }
}

TEST_F(LocalEventsTest, AFullDiskCostsEventsOnly) {
  test::FaultEnv faults(env_);
  LocalEvents events(faults, kDirectory);
  events.Keep({EventOf("one")});
  faults.Arm({.ops = test::Op::kWrite, .for_ever = true, .status = base::NoSpace("full")});
  events.Keep({EventOf("lost")});
  events.Keep({EventOf("lost too, without an attempt")});
  EXPECT_EQ(Messages(events), Texts{"one"});
}

}  // namespace
}  // namespace understudy::server
