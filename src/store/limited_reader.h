// SPDX-License-Identifier: Apache-2.0
// LimitedReader: an ObjectReader that reads no more than a limit allows, which it may share with
// others, by waiting before it reads. Threading and errors: as of ObjectReader.
#pragma once

#include <memory>
#include <utility>

#include "base/rate_limit.h"
#include "store/object_store.h"
#include "store/pause.h"

namespace understudy::store {

class LimitedReader final : public ObjectReader {
 public:
  LimitedReader(env::Env& env, Pause pause, std::shared_ptr<base::RateLimit> limit,
                std::unique_ptr<ObjectReader> below)
      : env_(env), pause_(std::move(pause)), limit_(std::move(limit)), below_(std::move(below)) {}

  base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    const base::Duration wait = limit_->ReadyAt() - env_.Now();
    if (wait > base::Duration(0)) pause_(wait);
    ASSIGN_OR_RETURN(const size_t got, below_->ReadAt(offset, out));
    limit_->Take(got, env_.Now());
    return got;
  }
  base::Result<uint64_t> Size() override { return below_->Size(); }
  void DropFromCache(uint64_t offset, uint64_t length) override {
    below_->DropFromCache(offset, length);
  }

 private:
  env::Env& env_;
  const Pause pause_;
  const std::shared_ptr<base::RateLimit> limit_;
  const std::unique_ptr<ObjectReader> below_;
};

}  // namespace understudy::store
