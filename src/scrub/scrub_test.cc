// SPDX-License-Identifier: Apache-2.0
// The scrubber over a copy in memory whose pages and log go bad, and others that have them, have
// them not, or cannot be asked. Time is simulated, files forget what was not synced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "scrub/scrubber.h"
#include "testing/mem_env.h"

namespace understudy::scrub {
namespace {

using base::Bytes;
using base::Generation;
using base::PageNo;
using base::Status;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kPageSize = 4096;
constexpr const char* kState = "/data/.scrub.json";

class FakeCopy final : public CopyAccess {
 public:
  explicit FakeCopy(uint32_t pages) {
    for (uint32_t page = 1; page <= pages; ++page) {
      images.emplace_back(kPageSize, static_cast<uint8_t>(page));
      table.Set(PageNo(page), log::HashPage(PageNo(page), images.back()));
    }
    for (uint64_t number = 1; number <= 5; ++number) generations[number] = Bytes(1000, 7);
  }

  base::Result<log::PageCheck> CheckPages(PageNo first, uint32_t count) override {
    RETURN_IF_ERROR(not_now);
    log::PageCheck check{.count = 0, .pages = table.pages(), .at = {}};
    check.at.page_size = kPageSize;
    if (first.value > table.pages()) return check;
    check.count = std::min(count, table.pages() - first.value + 1);
    pages_read += check.count;
    for (uint32_t i = 0; i < check.count; ++i) {
      const PageNo page(first.value + i);
      if (unreadable.contains(page.value)) {
        check.wrong.push_back({page, table.HashOf(page), 0, "the disk cannot read it"});
      } else {
        log::CompareWithTable(table, page, images[page.value - 1], kPageSize, check.wrong);
      }
    }
    return check;
  }
  Status RepairPage(PageNo page, base::ByteView image) override {
    RETURN_IF_ERROR(repair_refused);
    if (log::HashPage(page, image) != table.HashOf(page)) return base::Diverged("another page");
    images[page.value - 1].assign(image.begin(), image.end());
    unreadable.erase(page.value);
    return {};
  }
  base::Result<std::vector<log::GenerationInfo>> Generations() override {
    std::vector<log::GenerationInfo> all;
    for (const auto& [number, bytes] : generations) {
      all.push_back({.number = Generation(number), .bytes = bytes.size()});
    }
    return all;
  }
  Status CheckGeneration(Generation generation) override {
    const auto found = generations.find(generation.value);
    if (found == generations.end()) return base::NotFound("truncated");
    return found->second == Bytes(1000, 7) ? Status() : base::Corruption("at offset 17: no part");
  }
  Status ReplaceGeneration(Generation generation, base::ByteView other) override {
    if (Bytes(other.begin(), other.end()) != Bytes(1000, 7)) {
      return base::InvalidArgument("it does not fit");
    }
    generations[generation.value].assign(other.begin(), other.end());
    return {};
  }

  void Damage(uint32_t page) { images[page - 1][100] ^= 1; }
  void Commit(uint32_t page, uint8_t fill) {
    images[page - 1].assign(kPageSize, fill);
    table.Set(PageNo(page), log::HashPage(PageNo(page), images[page - 1]));
  }

  std::vector<Bytes> images;
  log::PageTable table;
  std::map<uint64_t, Bytes> generations;
  std::set<uint32_t> unreadable;
  uint64_t pages_read = 0;
  Status not_now;
  Status repair_refused;
};

// Other servers' copies; each answers from a FakeCopy or not at all.
class FakeOthers final : public OtherCopies {
 public:
  base::Result<Found> FetchPage(PageNo page, uint64_t hash) override {
    ++asked;
    bool all_answered = true;
    for (const auto& [server, copy] : copies) {
      if (copy == nullptr) {
        all_answered = false;
        continue;
      }
      const Bytes& image = copy->images[page.value - 1];
      if (lies || log::HashPage(page, image) == hash) return Found{image, server};
    }
    return all_answered ? base::NotFound("no other copy has it")
                        : base::Unavailable("s2 could not be asked");
  }
  base::Result<Found> FetchGeneration(Generation generation, uint32_t skip) override {
    for (const auto& [server, copy] : copies) {
      if (copy == nullptr) return base::Unavailable(server + " could not be asked");
      if (skip-- == 0) return Found{copy->generations[generation.value], server};
    }
    return base::NotFound("no other copy has it");
  }

  std::map<std::string, FakeCopy*> copies;
  bool lies = false;
  int asked = 0;
};

class Heard final : public Listener {
 public:
  void OnFound(const Finding& finding) override { lines.push_back("found " + finding.Name()); }
  void OnRepaired(const Finding& finding, const std::string& how) override {
    lines.push_back("repaired " + finding.Name() + " " + how);
  }
  void OnNotRepaired(const Finding& finding) override {
    const bool waits = finding.outcome == Finding::Outcome::kWaiting;
    lines.push_back((waits ? "waits " : "failed ") + finding.Name());
  }
  void OnStopped(const std::string& why) override { lines.push_back("stopped " + why); }

  std::vector<std::string> lines;
};

class ScrubberTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(env_.MakeDirectories("/data").ok());
    others_.copies = {{"s2", &second_}, {"s3", &third_}};
    Open();
  }
  void Open(base::Duration every = hours(24)) {
    scrubber_.reset();
    scrubber_ =
        std::make_unique<Scrubber>(env_, Scrubber::Options{.state_path = kState, .every = every},
                                   rate_, copy_, others_, heard_);
  }
  // Runs as a thread would, for so long of simulated time or until the pass has ended.
  void RunFor(base::Duration time, bool until_end = false) {
    const base::SteadyTime end = env_.Now() + time;
    while (env_.Now() < end) {
      const Scrubber::RunResult run = scrubber_->RunOnce(env_.Now());
      if (until_end && !scrubber_->state().running) return;
      if (run.worked) continue;
      env_.clock().Advance(std::clamp<base::Duration>(run.next - env_.Now(), milliseconds(1),
                                                      end - env_.Now() + milliseconds(1)));
    }
  }
  void RunPass() {
    scrubber_->Start();
    RunFor(hours(1), /*until_end=*/true);
    ASSERT_FALSE(scrubber_->state().running);
  }

  test::MemEnv env_;
  base::RateLimit rate_{1 << 20};
  FakeCopy copy_{1000};
  FakeCopy second_{1000};
  FakeCopy third_{1000};
  FakeOthers others_;
  Heard heard_;
  std::unique_ptr<Scrubber> scrubber_;
};

TEST_F(ScrubberTest, PassReadsEverythingOnceAtTheRate) {
  const base::SteadyTime began = env_.Now();
  RunPass();
  EXPECT_EQ(copy_.pages_read, 1000u);
  EXPECT_EQ(scrubber_->state().last.pages, 1000u);
  EXPECT_EQ(scrubber_->state().last.generations, 5u);
  EXPECT_EQ(scrubber_->state().last.bytes, 1000u * kPageSize + 5000);
  const auto took = std::chrono::duration<double>(env_.Now() - began).count();
  EXPECT_NEAR(took, 1000.0 * kPageSize / (1 << 20), 0.6);
  EXPECT_TRUE(heard_.lines.empty());
}

TEST_F(ScrubberTest, PassBeginsWhenItIsDueAndNotBefore) {
  RunFor(hours(23));
  EXPECT_EQ(copy_.pages_read, 0u) << "a copy was proven when it was seeded";
  RunFor(hours(2));
  EXPECT_EQ(copy_.pages_read, 1000u);
  RunFor(hours(22));
  EXPECT_EQ(copy_.pages_read, 1000u);
  RunFor(hours(3));
  EXPECT_EQ(copy_.pages_read, 2000u);
  Open(base::Duration(0));
  RunFor(hours(1000));
  EXPECT_EQ(copy_.pages_read, 2000u) << "0: only when asked";
}

TEST_F(ScrubberTest, WrongPageIsRepairedFromACopyThatHasIt) {
  copy_.Damage(17);
  copy_.Damage(999);
  second_.Damage(999);
  copy_.unreadable.insert(400);
  RunPass();
  EXPECT_THAT(heard_.lines, ElementsAre("found page 17", "repaired page 17 from s2",
                                        "found page 400", "repaired page 400 from s2",
                                        "found page 999", "repaired page 999 from s3"));
  EXPECT_EQ(copy_.images, third_.images);
  EXPECT_EQ(scrubber_->state().last.found, 3u);
  EXPECT_EQ(scrubber_->state().last.repaired, 3u);
  EXPECT_EQ(scrubber_->state().last.failed, 0u);
  EXPECT_EQ(scrubber_->state().repaired_total, 3u);
}

TEST_F(ScrubberTest, WhenAllCopiesAreWrongNothingIsOverwrittenAndItIsTold) {
  copy_.Damage(17);
  second_.Damage(17);
  third_.Damage(17);
  const Bytes before = copy_.images[16];
  RunPass();
  EXPECT_THAT(heard_.lines, ElementsAre("found page 17", "failed page 17"));
  EXPECT_EQ(copy_.images[16], before);
  EXPECT_EQ(scrubber_->state().last.failed, 1u);
  ASSERT_EQ(scrubber_->state().findings.size(), 1u);
  EXPECT_FALSE(scrubber_->repairing());
  RunFor(hours(1));
  EXPECT_EQ(heard_.lines.size(), 2u) << "told once";
  third_ = FakeCopy(1000);  // its owner has put in another disk
  RunFor(hours(1));
  EXPECT_EQ(heard_.lines.back(), "repaired page 17 from s3");
  EXPECT_TRUE(scrubber_->state().findings.empty());
}

TEST_F(ScrubberTest, SourceThatIsCutOffIsWaitedFor) {
  copy_.Damage(17);
  third_.Damage(17);
  others_.copies["s2"] = nullptr;
  RunPass();
  EXPECT_THAT(heard_.lines, ElementsAre("found page 17", "waits page 17"));
  EXPECT_TRUE(scrubber_->repairing());
  RunFor(seconds(60));
  EXPECT_EQ(heard_.lines.size(), 2u);
  others_.copies["s2"] = &second_;
  RunFor(seconds(4));
  EXPECT_EQ(heard_.lines.back(), "repaired page 17 from s2");
}

TEST_F(ScrubberTest, WhatIsNotProvenIsNotWritten) {
  copy_.Damage(17);
  second_.Damage(17);
  second_.Damage(17);
  second_.images[16].assign(kPageSize, 99);
  others_.copies = {{"s2", &second_}};
  others_.lies = true;
  const Bytes before = copy_.images[16];
  RunPass();
  EXPECT_EQ(copy_.images[16], before);
  EXPECT_THAT(heard_.lines, ElementsAre("found page 17", "waits page 17"));
}

TEST_F(ScrubberTest, PageThatACommitReplacesNeedsNoRepair) {
  copy_.Damage(17);
  others_.copies["s2"] = others_.copies["s3"] = nullptr;
  RunPass();
  copy_.Commit(17, 5);
  RunFor(seconds(10));
  EXPECT_THAT(heard_.lines.back(), HasSubstr("repaired page 17 a newer commit"));
}

TEST_F(ScrubberTest, BusyCopyIsTriedAgainSoon) {
  copy_.Damage(17);
  copy_.repair_refused = base::Busy("an application is writing");
  scrubber_->Start();
  RunFor(seconds(3));
  EXPECT_THAT(heard_.lines, ElementsAre("found page 17")) << "not told of at once";
  EXPECT_TRUE(scrubber_->state().running) << "every finding is tried before a pass ends";
  copy_.repair_refused = {};
  RunFor(seconds(10));
  EXPECT_EQ(heard_.lines.back(), "repaired page 17 from s2");
  EXPECT_FALSE(scrubber_->state().running);
  copy_.not_now = base::Unavailable("it is being seeded");
  scrubber_->Start();
  RunFor(seconds(60));
  EXPECT_TRUE(scrubber_->state().running);
  copy_.not_now = {};
  RunFor(seconds(60));
  EXPECT_FALSE(scrubber_->state().running);
}

TEST_F(ScrubberTest, GenerationIsRepairedFromACopyWhoseFileFits) {
  copy_.generations[2][17] = 0;
  second_.generations[2][17] = 0;
  copy_.generations[4][1] = 0;
  RunPass();
  EXPECT_THAT(heard_.lines, ElementsAre("found generation 0000000000000002",
                                        "repaired generation 0000000000000002 from s3",
                                        "found generation 0000000000000004",
                                        "repaired generation 0000000000000004 from s2"));
  copy_.generations[3][1] = second_.generations[3][1] = third_.generations[3][1] = 0;
  RunPass();
  EXPECT_EQ(heard_.lines.back(), "failed generation 0000000000000003");
  copy_.generations.erase(3);
  RunFor(hours(1));
  EXPECT_THAT(heard_.lines.back(), HasSubstr("truncated"));
}

TEST_F(ScrubberTest, RestartGoesOnWhereItStood) {
  scrubber_->Start();
  copy_.Damage(3);
  second_.Damage(3);
  third_.Damage(3);
  RunFor(seconds(2));
  ASSERT_TRUE(scrubber_->state().running);
  scrubber_->Save();
  const uint64_t before = scrubber_->state().counts.pages;
  ASSERT_GT(before, 100u);
  env_.PowerCutDropAll();
  Open();
  EXPECT_EQ(scrubber_->state().counts.pages, before);
  EXPECT_EQ(scrubber_->state().findings.size(), 1u);
  RunFor(hours(1), /*until_end=*/true);
  EXPECT_EQ(scrubber_->state().last.pages, 1000u);
  EXPECT_EQ(scrubber_->state().last.found, 1u);
  EXPECT_THAT(heard_.lines, ElementsAre("found page 3", "failed page 3")) << "told once";
}

TEST_F(ScrubberTest, SuspectIsLookedAtWithoutAPass) {
  copy_.Damage(700);
  scrubber_->Suspect(PageNo(700));
  scrubber_->Suspect(PageNo(701));
  RunFor(seconds(1));
  EXPECT_THAT(heard_.lines, ElementsAre("found page 700", "repaired page 700 from s2"));
  EXPECT_LT(copy_.pages_read, 10u);
}

TEST_F(ScrubberTest, TooManyFindingsStopThePass) {
  copy_ = FakeCopy(3000);
  others_.copies = {};
  for (uint32_t page = 1; page <= 3000; ++page) copy_.Damage(page);
  RunPass();
  EXPECT_THAT(heard_.lines.back(), ::testing::StartsWith("stopped"));
  EXPECT_EQ(std::count_if(heard_.lines.begin(), heard_.lines.end(),
                          [](const std::string& line) { return line.starts_with("stopped"); }),
            1);
  EXPECT_EQ(scrubber_->state().findings.size(), kFindingsMax);
  EXPECT_FALSE(scrubber_->state().stopped.empty());
}

TEST(ScrubStateText, ComesBackAndNoTextIsDangerous) {
  ScrubState state;
  state.running = state.in_log = true;
  state.started = {1'700'000'000'123};
  state.next_page = 77;
  state.last_generation = 9;
  state.counts = {1, 2, 3, 4, 5, 6};
  state.last = {6, 5, 4, 3, 2, 1};
  state.last_finished = {1'600'000'000'001};
  state.stopped = "why";
  state.repaired_total = 8;
  Finding finding;
  finding.kind = Finding::Kind::kGeneration;
  finding.number = 31;
  finding.expected = ~uint64_t{0};
  finding.outcome = Finding::Outcome::kFailed;
  finding.why = "\"quoted\"";
  state.findings = {finding};
  const std::string text = ToJson(state);
  const ScrubState back = ScrubStateFromJson(text);
  EXPECT_EQ(ToJson(back), text);
  EXPECT_EQ(back.findings[0].Name(), "generation 000000000000001f");
  for (size_t i = 0; i < text.size(); ++i) {
    ScrubStateFromJson(text.substr(0, i));
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x15);
    ScrubStateFromJson(flipped);
  }
  EXPECT_FALSE(ScrubStateFromJson("[]").running);
}

}  // namespace
}  // namespace understudy::scrub
