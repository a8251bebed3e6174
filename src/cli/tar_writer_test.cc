// SPDX-License-Identifier: Apache-2.0
// The archive as tar reads it.
#include "cli/tar_writer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "testing/temp_dir.h"

namespace understudy::cli {
namespace {

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(TarWriter, TarReadsIt) {
  const test::TempDir directory;
  TarWriter tar({1'790'000'000'000});
  const std::string large(100'000, 'x');
  ASSERT_TRUE(tar.Add("manifest.json", "{}\n").ok());
  ASSERT_TRUE(tar.Add("servers/s1/events.json", large).ok());
  ASSERT_TRUE(tar.Add("servers/s2/empty", "").ok());
  const auto archive = tar.Finish();
  ASSERT_TRUE(archive.ok());
  EXPECT_LT(archive->size(), large.size() / 10);
  std::ofstream(directory.File("a.tar.gz"), std::ios::binary)
      .write(reinterpret_cast<const char*>(archive->data()),
             static_cast<std::streamsize>(archive->size()));
  const std::string unpack = "tar -xzf " + directory.File("a.tar.gz") + " -C " + directory.path() +
                             " 2>" + directory.File("said");
  ASSERT_EQ(std::system(unpack.c_str()), 0) << Content(directory.File("said"));
  EXPECT_EQ(Content(directory.File("said")), "");
  EXPECT_EQ(Content(directory.File("manifest.json")), "{}\n");
  EXPECT_EQ(Content(directory.File("servers/s1/events.json")), large);
  EXPECT_EQ(Content(directory.File("servers/s2/empty")), "");
}

TEST(TarWriter, NamesStayInTheFolder) {
  TarWriter tar({0});
  for (const std::string& name : {std::string(), std::string("/etc/passwd"),
                                  std::string("a/../../b"), std::string(101, 'n')}) {
    EXPECT_EQ(tar.Add(name, "x").code(), base::Code::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace understudy::cli
