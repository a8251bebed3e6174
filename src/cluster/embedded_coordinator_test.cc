// SPDX-License-Identifier: Apache-2.0
#include "cluster/embedded_coordinator.h"

#include <gtest/gtest.h>

#include <memory>

#include "testing/coordinator_contract.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::test {
namespace {

// The SQLite file is real, the clock is not.
class EmbeddedHarness {
 public:
  static constexpr base::Duration kTtl = std::chrono::seconds(5);

  EmbeddedHarness() : first_(Open()), second_(Open()) {}
  cluster::Coordinator& first() { return *first_; }
  cluster::Coordinator& second() { return *second_; }
  base::SteadyTime Now() { return env_.Now(); }
  void LetPass(base::Duration time) { env_.clock().Advance(time); }

 private:
  std::unique_ptr<cluster::EmbeddedCoordinator> Open() {
    auto opened = cluster::EmbeddedCoordinator::Open(env_, directory_.File("group.db"));
    CHECK(opened.ok());
    return std::move(opened).value();
  }

  TempDir directory_;
  MemEnv env_;
  std::unique_ptr<cluster::EmbeddedCoordinator> first_;
  std::unique_ptr<cluster::EmbeddedCoordinator> second_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Embedded, CoordinatorContract, EmbeddedHarness);

TEST(EmbeddedCoordinator, ContentSurvivesReopening) {
  TempDir directory;
  MemEnv env;
  {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env, directory.File("group.db"));
    ASSERT_TRUE(coordinator.ok());
    ASSERT_TRUE((*coordinator)->Txn({}, {Operation::Put("a", "1")}).ok());
  }
  auto again = cluster::EmbeddedCoordinator::Open(env, directory.File("group.db"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->Get("a")->value, "1");
}

TEST(EmbeddedCoordinator, AFileThatIsNotSqliteIsRefusedByName) {
  TempDir directory;
  MemEnv env;
  const std::string path = directory.File("group.db");
  {
    auto file = env::PosixEnv().Open(path, env::OpenMode::kCreateNew);
    ASSERT_TRUE(file.ok());
    const std::string text(8192, 'x');
    ASSERT_TRUE((*file)->WriteAt(0, base::AsBytes(text)).ok());
  }
  const auto opened = cluster::EmbeddedCoordinator::Open(env, path);
  EXPECT_EQ(opened.status().code(), base::Code::kCorruption);
  EXPECT_NE(opened.status().message().find(path), std::string::npos) << opened.status().ToString();
}

}  // namespace
}  // namespace understudy::test
