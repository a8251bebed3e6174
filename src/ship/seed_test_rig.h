// SPDX-License-Identifier: Apache-2.0
// What the tests of seeding and resync share beyond ship_test_rig.h: a load, the proof that a seed
// is right, and pages to begin a resync with.
// Threading: confined to one thread.
#pragma once

#include <memory>

#include "ship/ship_test_rig.h"

namespace understudy::ship {

// The pages of a copy that is resynchronised. A test may change them until they are read.
class BaseInMemory final : public BasePages {
 public:
  struct Content {
    uint32_t page_size = 0;
    base::Bytes images{};
    uint64_t fail_every = 0;  // every so many reads one fails
    uint64_t reads = 0;
  };
  explicit BaseInMemory(std::shared_ptr<Content> content) : content_(std::move(content)) {}

  uint32_t page_size() const override { return content_->page_size; }
  uint32_t pages() const override {
    return static_cast<uint32_t>(content_->images.size() / content_->page_size);
  }
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) override {
    CHECK(first.value >= 1 && uint64_t{first.value} + count - 1 <= pages());
    CHECK(out.size() == size_t{count} * page_size());
    if (content_->fail_every != 0 && ++content_->reads % content_->fail_every == 0) {
      return base::IoError("a bad sector");
    }
    const size_t from = size_t{first.value - 1} * page_size();
    std::copy_n(content_->images.begin() + static_cast<std::ptrdiff_t>(from), out.size(),
                out.begin());
    return {};
  }

 private:
  const std::shared_ptr<Content> content_;
};

inline Rig::Options SeedOptions(uint64_t seed) {
  return {.seed = seed,
          .page_size = 1024,
          .pages = 120,
          .chunk_bytes = 4096,
          .start_log = false,
          .with_seed = true};
}

inline bool Ended(const Rig& rig) {
  const auto state = rig.seed_target->status().state;
  return state == SeedTarget::State::kDone || state == SeedTarget::State::kFailed;
}

// The seeded file is the oracle's database at the position that it says; the log brings it further.
inline void ExpectSeeded(Rig& rig) {
  ASSERT_EQ(rig.seed_target->status().state, SeedTarget::State::kDone)
      << rig.seed_target->status().failure.ToString() << " / "
      << rig.seed_target->status().last_event;
  const log::Checkpoint& checkpoint = rig.seed_target->checkpoint();
  const auto state = rig.database.log().StateAt(checkpoint.at.position.seq);
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  EXPECT_EQ(checkpoint.at, *state);
  EXPECT_EQ(checkpoint.table.checksum(), state->checksum);
  const base::Bytes file = rig.PassiveFile();
  ASSERT_EQ(file.size(), size_t{state->pages} * state->page_size);
  EXPECT_EQ(file[log::kWriteVersionOffset], log::kWriteVersionReadOnly);
  uint64_t checksum = 0;
  for (uint32_t page = 1; page <= state->pages; ++page) {
    checksum ^= log::HashPage(
        base::PageNo(page),
        base::ByteView(file).subspan(size_t{page - 1} * state->page_size, state->page_size));
  }
  EXPECT_EQ(checksum, state->checksum);
  if (checkpoint.at.position == rig.database.log().end().position) {
    EXPECT_TRUE(file == rig.database.MarkedImage());
  }
  EXPECT_FALSE(env::Exists(rig.passive_env, "/passive/orders.db.seeding"));
  EXPECT_FALSE(env::Exists(rig.passive_env, "/passive/orders.db.seeding.state"));
  const auto saved = log::LoadCheckpoint(rig.passive_env, "/passive/orders.checkpoint");
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_EQ(saved->at, checkpoint.at);
  rig.copier->SeedEnd(rig.clock.Now());
}

// Something changes the database all the time, growing and shrinking it.
inline bool RunUnderLoad(Rig& rig, int turns_max = 20000) {
  for (int i = 0; i < turns_max; ++i) {
    if (Ended(rig)) return true;
    if (rig.link && rig.link->closed()) return false;
    rig.Turn();
    rig.clock.Advance(std::chrono::microseconds(300));
    auto& random = rig.random;
    if (random() % 20 != 0) continue;
    const uint32_t pages = rig.database.pages();
    switch (random() % 6) {
      case 0: rig.database.Commit(5, pages + static_cast<uint32_t>(random() % 20)); break;
      case 1:
        rig.database.Commit(5, pages < 50 ? pages : pages - static_cast<uint32_t>(random() % 30));
        break;
      default: rig.database.Commit(static_cast<uint32_t>(random() % 20));
    }
    if (random() % 2 == 0) rig.database.Sync();
    // A shrink to almost nothing, and back: VACUUM, then new data.
    if (random() % 40 == 0) {
      rig.database.Commit(3, 8);
      rig.database.Commit(3, 150);
    }
  }
  return false;
}

}  // namespace understudy::ship
