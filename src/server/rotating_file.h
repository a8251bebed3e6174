// SPDX-License-Identifier: Apache-2.0
// RotatingFile: text that a program printed, in a file of limited size: when PATH is full it
// becomes PATH.1 and a new one begins. For reading by people: nothing is synced. Threading:
// confined to a thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "env/env.h"

namespace understudy::server {

class RotatingFile {
 public:
  // Goes on at the end of the file that is there.
  static base::Result<std::unique_ptr<RotatingFile>> Open(env::Env& env, const std::string& path,
                                                          uint64_t bytes_max);
  base::Status Append(std::string_view text);
  const std::string& path() const { return path_; }

 private:
  RotatingFile(env::Env& env, std::string path, uint64_t bytes_max)
      : env_(env), path_(std::move(path)), bytes_max_(bytes_max) {}
  base::Status Begin(env::OpenMode mode);

  env::Env& env_;
  const std::string path_;
  const uint64_t bytes_max_;
  std::unique_ptr<env::File> file_;
  uint64_t size_ = 0;
};

}  // namespace understudy::server
