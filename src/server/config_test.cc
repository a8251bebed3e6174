// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"

#include <gtest/gtest.h>

#include "testing/mem_env.h"

namespace understudy::server {
namespace {

constexpr const char* kMinimal = R"([server]
name = "s1"
data_dir = "/d"
listen = "127.0.0.1:0"
[coordinator]
path = "/c/group.db"
)";

std::string ErrorOf(const std::string& text) {
  return ParseConfig(text, "s.toml").status().message();
}

TEST(Config, MinimalFileGetsTheDefaults) {
  const auto config = ParseConfig(kMinimal, "s.toml");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->server.advertise, "127.0.0.1:0");
  EXPECT_EQ(config->log.keep_bytes, 256u << 20);
  EXPECT_EQ(config->ship.heartbeat, std::chrono::seconds(2));
}

TEST(Config, EveryKindOfValueIsRead) {
  const auto config = ParseConfig(std::string(kMinimal) + R"(lease = "1500ms"
[peers]
s2 = "127.0.0.1:9"
[log]
keep_bytes = "8MiB"
generation_bytes = 131072
[diag]
level = "warning"
)",
                                  "s.toml");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->coordinator.lease, std::chrono::milliseconds(1500));
  EXPECT_EQ(config->peers.at("s2"), "127.0.0.1:9");
  EXPECT_EQ(config->log.keep_bytes, 8u << 20);
  EXPECT_EQ(config->log.generation_bytes, 131072u);
  EXPECT_EQ(config->diag.level, base::DiagLevel::kWarning);
}

TEST(Config, PlayDownGoesByFreeSpaceUnlessSetOtherwise) {
  const auto none = ParseConfig(kMinimal, "s.toml");
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->lag.playdown_free_percent, 10u);
  EXPECT_EQ(none->lag.playdown_copies_min, 0u);
  const auto config = ParseConfig(std::string(kMinimal) + R"([lag]
playdown_free_percent = 5
playdown_free_bytes = "10GiB"
playdown_copies_min = 3
playdown_copies_after = "12h"
)",
                                  "s.toml");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->lag.playdown_free_percent, 5u);
  EXPECT_EQ(config->lag.playdown_free_bytes, 10ull << 30);
  EXPECT_EQ(config->lag.playdown_copies_min, 3u);
  EXPECT_EQ(config->lag.playdown_copies_after, std::chrono::hours(12));
  EXPECT_NE(
      ErrorOf(std::string(kMinimal) + "[lag]\nplaydown_free_percent = 101\n").find("0 to 100"),
      std::string::npos);
}

TEST(Config, WebAndHooksAreOffUnlessSet) {
  const auto none = ParseConfig(kMinimal, "s.toml");
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->web.listen, "");
  EXPECT_TRUE(none->hooks.pre_mount.empty());
  const auto config = ParseConfig(std::string(kMinimal) + R"([web]
listen = "127.0.0.1:7480"
[hooks]
pre_mount = "/usr/local/bin/check volume"
post_mount = ["/usr/bin/env", "x=$HOME", ""]
timeout = "3s"
)",
                                  "s.toml");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->web.advertise, "127.0.0.1:7480");
  EXPECT_EQ(config->hooks.pre_mount, std::vector<std::string>{"/usr/local/bin/check volume"});
  EXPECT_EQ(config->hooks.post_mount.size(), 3u);
  EXPECT_EQ(config->hooks.timeout, std::chrono::seconds(3));
}

TEST(Config, AHookThatIsNoProgramIsRefused) {
  for (const char* value : {"\"check\"", "\"\"", "[]", "[1]", "7", "[\"sh\", \"-c\"]"}) {
    const std::string error =
        ErrorOf(std::string(kMinimal) + "[hooks]\npre_mount = " + value + "\n");
    EXPECT_NE(error.find("hooks.pre_mount"), std::string::npos) << value << ": " << error;
  }
}

TEST(Config, UnknownKeyNamesLineAndNearestKey) {
  const std::string error = ErrorOf(std::string(kMinimal) + "[log]\nkeep_byte = 5\n");
  EXPECT_NE(error.find("s.toml:8: there is no key log.keep_byte"), std::string::npos) << error;
  EXPECT_NE(error.find("the nearest is log.keep_bytes"), std::string::npos) << error;
}

TEST(Config, UnknownSectionAndTopLevelKeyAreRefused) {
  EXPECT_NE(ErrorOf(std::string(kMinimal) + "[sever]\nname = \"x\"\n").find("server.name"),
            std::string::npos);
  EXPECT_NE(ErrorOf("name = \"x\"\n").find("there is no key name"), std::string::npos);
}

TEST(Config, WrongTypesAndRangesAreRefusedByKey) {
  const std::string base = kMinimal;
  EXPECT_NE(ErrorOf(base + "lease = 5\n").find("coordinator.lease: must be a time"),
            std::string::npos);
  EXPECT_NE(ErrorOf(base + "lease = \"1ms\"\n").find("allowed are"), std::string::npos);
  EXPECT_NE(ErrorOf(base + "[log]\nkeep_bytes = \"5 elephants\"\n").find("elephants"),
            std::string::npos);
  EXPECT_NE(ErrorOf(base + "[log]\nkeep_bytes = -1\n").find("log.keep_bytes"), std::string::npos);
  EXPECT_NE(ErrorOf(base + "[diag]\nlevel = \"loud\"\n").find("loud"), std::string::npos);
  EXPECT_NE(ErrorOf(base + "[peers]\n\"a/b\" = \"x:1\"\n").find("server name"), std::string::npos);
}

TEST(Config, MissingKeysAreNamed) {
  EXPECT_NE(ErrorOf("[server]\nname = \"s1\"\n").find("server.data_dir must be set"),
            std::string::npos);
  EXPECT_NE(ErrorOf("").find("server.name"), std::string::npos);
}

TEST(Config, TextThatIsNotTomlIsRefusedAtItsLine) {
  EXPECT_EQ(ErrorOf("[server\n").rfind("s.toml:1: ", 0), 0u);
}

TEST(Config, MissingFileIsNamed) {
  test::MemEnv env;
  const auto config = ReadConfig(env, "/no/such.toml");
  EXPECT_EQ(config.status().code(), base::Code::kNotFound);
  EXPECT_NE(config.status().message().find("/no/such.toml"), std::string::npos);
}

TEST(Config, SizesAndTimesParseOrSayWhatIsAllowed) {
  EXPECT_EQ(*ParseSize("0"), 0u);
  EXPECT_EQ(*ParseSize("3GiB"), 3ull << 30);
  EXPECT_FALSE(ParseSize("99999999999GiB").ok());
  EXPECT_FALSE(ParseSize("").ok());
  EXPECT_FALSE(ParseSize("-5").ok());
  EXPECT_EQ(*ParseDuration("5m"), std::chrono::minutes(5));
  EXPECT_FALSE(ParseDuration("5").ok());
}

}  // namespace
}  // namespace understudy::server
