// SPDX-License-Identifier: Apache-2.0
// A seed whose start and log come from the active copy (s1), and whose pages come from a passive
// one (s2), which may lag, go away, or be of another history.
#include "ship/seed_test_rig.h"

namespace understudy::ship {
namespace {

// The pages of s2: what the oracle was when it was replayed last.
class PassivePages final : public PageSource {
 public:
  explicit PassivePages(OracleDatabase& database) : database_(database) { Replay(); }

  void Replay() {
    images_ = database_.Image();
    at_ = database_.log().end();
  }
  void Damage(uint32_t page) { images_[size_t{page - 1} * at_.page_size + 100] ^= 1; }

  base::Status Request(base::PageNo first, uint32_t count) override {
    first_ = first;
    count_ = count;
    return {};
  }
  base::Result<std::optional<SeedPages>> TryTake() override {
    if (database_.random()() % 8 == 0) return base::Busy("a record is being applied");
    SeedPages pages;
    pages.first_page = first_;
    pages.at = at_;
    pages.page_count =
        first_.value > at_.pages ? 0 : std::min(count_, at_.pages - first_.value + 1);
    const size_t from = size_t{first_.value - 1} * at_.page_size;
    const size_t bytes = size_t{pages.page_count} * at_.page_size;
    if (bytes > 0) base::AppendBytes(pages.images, base::ByteView(images_).subspan(from, bytes));
    ++taken_;
    return std::optional(std::move(pages));
  }
  uint64_t taken() const { return taken_; }

 private:
  OracleDatabase& database_;
  base::Bytes images_;
  log::LogEnd at_;
  base::PageNo first_;
  uint32_t count_ = 0;
  uint64_t taken_ = 0;
};

class TwoSources {
 public:
  explicit TwoSources(const Rig::Options& options) : rig(options), pages(rig.database) {
    rig.seed_target->SetPagesElsewhere(true);
    rig.Connect();
    ConnectOther();
  }
  void ConnectOther() {
    other_link = rig.network.Connect({});
    other = std::make_unique<SeedSource>(rig.active_env,
                                         SeedSource::Options{.database = TestDatabaseId(),
                                                             .database_name = "orders",
                                                             .peer = "s3",
                                                             .term = term_of_other,
                                                             .passive = true,
                                                             .chunk_bytes = 4096},
                                         rig.database.log(), pages, other_link->source_end());
  }
  void CutOther() {
    if (on_other) rig.seed_target->OnDisconnected("cut by the test", rig.clock.Now());
    on_other = false;
    other.reset();
    other_link.reset();
  }
  // The server's part (passive_copy_route.cc).
  void Route() {
    if (!other_link || on_other || !rig.seed_target->has_start()) return;
    rig.seed_target->OnDisconnected("it goes on from s2", rig.clock.Now());
    rig.seed_target->OnConnected(other_link->copier_end(), "s2", rig.clock.Now());
    on_other = true;
  }
  void Turn() {
    rig.Turn();
    if (rig.seed_target && !rig.seed_target->has_start() && on_other) {
      on_other = false;
      rig.seed_target->OnConnected(rig.link->copier_end(), "s1", rig.clock.Now());
    }
    Route();
    if (other_link) {
      while (auto message = other_link->source_end().Receive()) {
        other->OnMessage(std::move(*message), rig.clock.Now());
      }
      other->RunOnce(rig.clock.Now());
      while (auto message = other_link->copier_end().Receive()) {
        if (std::holds_alternative<Refused>(*message)) refused = std::get<Refused>(*message);
        rig.seed_target->OnMessage(std::move(*message), rig.clock.Now());
      }
    }
    rig.clock.Advance(std::chrono::milliseconds(1));
  }
  bool RunUntil(const std::function<bool()>& done, bool load, int turns_max = 100000) {
    for (int i = 0; i < turns_max; ++i) {
      if (done()) return true;
      Turn();
      if (load && rig.random() % 10 == 0) {
        const uint32_t now = rig.database.pages();
        rig.database.Commit(5, rig.random() % 6 == 0 ? now + 7 : std::max(60U, now - 1));
        rig.database.Sync();
      }
      if (rig.random() % 12 == 0 && replays) pages.Replay();
    }
    return false;
  }
  bool RunToEnd(bool load) {
    return RunUntil([&] { return Ended(rig); }, load);
  }

  Rig rig;
  PassivePages pages;
  base::Term term_of_other{1};
  std::unique_ptr<test::SimLink> other_link;
  std::unique_ptr<SeedSource> other;
  std::optional<Refused> refused;
  bool on_other = false;
  bool replays = true;
};

TEST(SeedSources, PagesOfAPassiveCopyWhileTheDatabaseIsWritten) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    TwoSources two(SeedOptions(seed));
    ASSERT_TRUE(two.RunToEnd(true)) << two.rig.seed_target->status().last_event;
    ExpectSeeded(two.rig);
    EXPECT_EQ(two.rig.seed_target->status().attempt, 1);
    EXPECT_GT(two.pages.taken(), 20U);
    EXPECT_EQ(two.rig.page_source.taken(), 0U);  // the active copy gave no page
    ASSERT_TRUE(two.RunUntil([&] { return two.rig.CaughtUp(); }, false));
    // What the active copy held for the start has given way to the copier's hold.
    ASSERT_EQ(two.rig.database.log().holds().size(), 1U);
    EXPECT_EQ(two.rig.database.log().holds()[0].name, "passive s3");
  }
}

TEST(SeedSources, APassiveCopyThatLagsIsWaitedForAndGivesNoOldPage) {
  TwoSources two(SeedOptions(3));
  two.replays = false;
  two.rig.database.CommitAndSync(40);  // s2 has not replayed it
  two.RunUntil([&] { return two.rig.seed_target->has_start(); }, false);
  two.RunUntil([] { return false; }, false, 3000);
  EXPECT_EQ(two.rig.seed_target->status().chunks_durable, 0U);
  two.pages.Replay();
  ASSERT_TRUE(two.RunToEnd(false)) << two.rig.seed_target->status().last_event;
  ExpectSeeded(two.rig);
}

TEST(SeedSources, TheActiveCopyTakesOverWhenThePassiveOneGoes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    TwoSources two(SeedOptions(seed));
    const uint32_t after = 1 + static_cast<uint32_t>(seed % 20);
    ASSERT_TRUE(two.RunUntil(
        [&] { return two.on_other && two.rig.seed_target->status().chunks_durable >= after; },
        true));
    two.CutOther();
    two.rig.seed_target->SetPagesElsewhere(false);
    two.rig.seed_target->OnConnected(two.rig.link->copier_end(), "s1", two.rig.clock.Now());
    ASSERT_TRUE(two.RunToEnd(true)) << two.rig.seed_target->status().last_event;
    ExpectSeeded(two.rig);
    EXPECT_EQ(two.rig.seed_target->status().attempt, 1);
    EXPECT_GT(two.pages.taken(), 0U);
    // The chunks that were durable are not fetched again.
    EXPECT_LE(two.rig.page_source.taken(), two.rig.seed_target->status().chunks - after);
  }
}

TEST(SeedSources, GoesOnAfterKillsAndPowerCuts) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    TwoSources two(SeedOptions(seed));
    for (int life = 0; life < 6 && !Ended(two.rig); ++life) {
      two.RunUntil([&] { return Ended(two.rig); }, true,
                   40 + static_cast<int>(two.rig.random() % 200));
      if (Ended(two.rig)) break;
      two.CutOther();
      two.rig.CrashPassive(seed % 2 == 0);
      two.rig.seed_target->SetPagesElsewhere(true);
      two.rig.Connect();
      two.ConnectOther();
    }
    ASSERT_TRUE(two.RunToEnd(true)) << two.rig.seed_target->status().last_event;
    ExpectSeeded(two.rig);
  }
}

TEST(SeedSources, AWrongPageIsFoundAndTheLastAttemptIsAnothers) {
  TwoSources two(SeedOptions(7));
  two.replays = false;
  two.pages.Damage(60);
  ASSERT_TRUE(two.RunUntil([&] { return two.rig.seed_target->status().attempt == 2; }, false));
  EXPECT_NE(two.rig.seed_target->status().last_event, "");
  two.pages.Replay();
  ASSERT_TRUE(two.RunToEnd(false)) << two.rig.seed_target->status().last_event;
  ExpectSeeded(two.rig);
}

TEST(SeedSources, APassiveCopyDoesNotSayWhereASeedStartsAndNeverFencesIt) {
  TwoSources two(SeedOptions(9));
  two.term_of_other = base::Term(0);
  two.CutOther();
  two.ConnectOther();
  two.rig.seed_target->SetTermKnown(base::Term(1));
  ASSERT_TRUE(two.RunUntil([&] { return two.refused.has_value(); }, false));
  EXPECT_EQ(two.refused->code, base::Code::kUnavailable);
  EXPECT_NE(two.refused->message.find("has heard of term 0"), std::string::npos)
      << two.refused->message;
  // Asked for a start, it says no.
  SeedRequest request;
  request.database = TestDatabaseId();
  request.request = 100;
  request.window_bytes = kWindowBytesMin;
  two.other->OnMessage(request, two.rig.clock.Now());
  EXPECT_EQ(two.other->status().state, SeedSource::State::kFailed);
  EXPECT_EQ(two.other->status().failure.code(), base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace understudy::ship
