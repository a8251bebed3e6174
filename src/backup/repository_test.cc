// SPDX-License-Identifier: Apache-2.0
#include "backup/repository.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "testing/temp_dir.h"

namespace understudy::backup {
namespace {

TEST(RepositoryTest, ManyMayBeginItAtTheSameMoment) {
  constexpr int kWriters = 16;
  for (int round = 0; round < 10; ++round) {
    const test::TempDir directory;
    const std::string place = directory.File("repository");
    std::vector<base::Status> ends(kWriters);
    std::vector<std::thread> writers;
    for (base::Status& end : ends) {
      const std::string database = "db" + std::to_string(writers.size());
      writers.emplace_back([&end, &place, database] {
        const auto opened = Repository::OpenOrCreate(env::PosixEnv(), place);
        end = opened.status();
        if (!opened.ok()) return;
        // As the first backup does; the place is not empty for those who come now.
        end = (*opened)->store().Put(database + "/backups/x", base::AsBytes("x"),
                                     store::PutMode::kNew);
      });
    }
    for (std::thread& writer : writers) writer.join();
    for (const base::Status& end : ends) ASSERT_TRUE(end.ok()) << end.ToString();
    EXPECT_TRUE(Repository::Open(env::PosixEnv(), place).ok());
  }
}

}  // namespace
}  // namespace understudy::backup
