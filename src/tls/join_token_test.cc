// SPDX-License-Identifier: Apache-2.0
#include "tls/join_token.h"

#include <gtest/gtest.h>

namespace understudy::tls {
namespace {

JoinToken Example() {
  env::Env& env = env::PosixEnv();
  JoinToken token;
  token.group = "shop";
  token.addresses = {"192.0.2.1:7401", "[2001:db8::1]:7401", "s1.example.org:1"};
  token.fingerprint = std::string(64, 'a');
  token.id = NewTokenId(env);
  token.secret = NewTokenSecret(env);
  token.expires = {1'800'000'000'000};
  return token;
}

TEST(JoinToken, IsReadBackAsItWas) {
  const JoinToken token = Example();
  const auto read = ParseJoinToken(ToText(token));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, token);
  EXPECT_NE(NewTokenSecret(env::PosixEnv()), token.secret);
}

TEST(JoinToken, EveryChangedOrMissingByteIsNoticed) {
  const std::string text = ToText(Example());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(ParseJoinToken(damaged).ok()) << i;
    EXPECT_FALSE(ParseJoinToken(text.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(ParseJoinToken(text + " ").ok());
}

TEST(JoinToken, WhatIsWholeButNoTokenIsRefusedWithoutRepeatingTheSecret) {
  const auto refused = [](const auto& change) {
    JoinToken token = Example();
    change(token);
    const base::Status status = ParseJoinToken(ToText(token)).status();
    EXPECT_EQ(status.message().find(token.secret), std::string::npos);
    return !status.ok();
  };
  EXPECT_FALSE(refused([](JoinToken&) {}));
  EXPECT_TRUE(refused([](JoinToken& t) { t.group = "a b"; }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.addresses = {"nowhere"}; }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.addresses = {"h:0"}; }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.addresses = {"h:65536"}; }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.addresses = {}; }));
  EXPECT_TRUE(refused(
      [](JoinToken& t) { t.addresses = std::vector<std::string>(kTokenAddressesMax + 1, "h:1"); }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.fingerprint = "ab"; }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.id += "0"; }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.secret[0] = 'G'; }));
  EXPECT_TRUE(refused([](JoinToken& t) { t.expires = {-1'000}; }));
}

}  // namespace
}  // namespace understudy::tls
