// SPDX-License-Identifier: Apache-2.0
#include "server/disk_room.h"

#include <fmt/format.h>

namespace understudy::server {

base::Status CheckRoom(env::Env& env, const std::string& directory, uint64_t bytes,
                       const std::string& what) {
  ASSIGN_OR_RETURN(const env::Space space, env.FreeSpace(directory));
  const uint64_t needed = bytes + kRoomLeft;
  if (space.free >= needed) return {};
  return base::NoSpace(
      fmt::format("{}, which has {} bytes free; {} are needed", what, space.free, needed));
}

}  // namespace understudy::server
