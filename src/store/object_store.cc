// SPDX-License-Identifier: Apache-2.0
#include "store/object_store.h"

#include <fmt/format.h>

namespace understudy::store {

base::Result<base::Bytes> Get(ObjectStore& store, const std::string& key, uint64_t bytes_max) {
  ASSIGN_OR_RETURN(const auto reader, store.Open(key));
  ASSIGN_OR_RETURN(const uint64_t size, reader->Size());
  if (size > bytes_max) {
    return base::InvalidArgument(fmt::format("{} has {} bytes, more than the {} that it may have",
                                             store.NameOf(key), size, bytes_max));
  }
  base::Bytes content(size);
  ASSIGN_OR_RETURN(const size_t got, reader->ReadAt(0, content));
  content.resize(got);
  return content;
}

bool Exists(ObjectStore& store, const std::string& key) { return store.Stat(key).ok(); }

}  // namespace understudy::store
