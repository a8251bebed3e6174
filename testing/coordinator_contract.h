// SPDX-License-Identifier: Apache-2.0
// CoordinatorContract: what every implementation of cluster::Coordinator must do, as tests.
//
// An implementation's test file writes a harness and one line:
//   struct MyHarness {
//     static constexpr base::Duration kTtl;  // a lease that ends soon, but not while we look
//     cluster::Coordinator& first(); cluster::Coordinator& second();
//     base::SteadyTime Now();
//     void LetPass(base::Duration);
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(Mine, CoordinatorContract, MyHarness);
// first() and second() are two clients of one store without keys. LetPass lets time pass for the
// store's leases: a real store's harness waits, which is only ever the pause between two looks at a
// condition.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cluster/coordinator.h"

namespace understudy::test {

using cluster::Change;
using cluster::Changes;
using cluster::Coordinator;
using cluster::KeyValue;
using cluster::LeaseId;
using cluster::Operation;
using cluster::Revision;
using cluster::TxnResult;

// Asks for changes as the server does: again and again, from where it was told to go on.
struct Follower {
  Coordinator& coordinator;
  Revision seen = 0;
  bool complete = true;
  std::vector<Change> changes{};

  void Poll() {
    const base::Result<Changes> told = coordinator.ChangesSince(seen);
    ASSERT_TRUE(told.ok()) << told.status().ToString();
    complete = complete && told->complete;
    EXPECT_GE(told->revision, seen);
    seen = told->revision;
    changes.insert(changes.end(), told->changes.begin(), told->changes.end());
  }
};

template <typename Harness>
class CoordinatorContract : public testing::Test {
 protected:
  static constexpr base::Duration kPause = std::chrono::milliseconds(20);
  static constexpr base::Duration kLimit = std::chrono::seconds(30);

  Coordinator& first() { return harness_.first(); }
  Coordinator& second() { return harness_.second(); }

  Revision Put(const std::string& key, const std::string& value, LeaseId lease = 0) {
    const base::Result<TxnResult> result = first().Txn({}, {Operation::Put(key, value, lease)});
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? result->revision : 0;
  }
  std::string Value(Coordinator& coordinator, const std::string& key) {
    const base::Result<KeyValue> pair = coordinator.Get(key);
    return pair.ok() ? pair->value : "(" + std::string(base::CodeName(pair.status().code())) + ")";
  }
  // Looks until it holds; false after kLimit of real time, whatever the harness's clock says.
  bool Until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      harness_.LetPass(kPause);
    }
    return true;
  }
  // Adds 1 to the number in `key`, `rounds` times, against others who do the same.
  static void Count(Coordinator& coordinator, const std::string& key, int rounds) {
    for (int done = 0; done < rounds;) {
      const auto pair = coordinator.Get(key);
      ASSERT_TRUE(pair.ok()) << pair.status().ToString();
      const auto result =
          coordinator.Txn({{key, pair->modified}},
                          {Operation::Put(key, std::to_string(std::stoi(pair->value) + 1))});
      ASSERT_TRUE(result.ok()) << result.status().ToString();
      if (result->committed) ++done;
    }
  }

  Harness harness_;
};

TYPED_TEST_SUITE_P(CoordinatorContract);

TYPED_TEST_P(CoordinatorContract, GetSeesWhatAnotherClientPut) {
  this->Put("a", "1");
  EXPECT_EQ(this->Value(this->second(), "a"), "1");
  EXPECT_EQ(this->Value(this->second(), "b"), "(not found)");
}

TYPED_TEST_P(CoordinatorContract, RevisionGrowsOncePerChangingTransaction) {
  const Revision before = this->Put("a", "1");
  const auto both = this->first().Txn({}, {Operation::Put("b", "2"), Operation::Put("c", "3")});
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->revision, before + 1);
  const auto nothing = this->first().Txn({}, {Operation::Delete("absent")});
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(nothing->revision, before + 1);
  const auto pair = this->first().Get("c");
  ASSERT_TRUE(pair.ok());
  EXPECT_EQ(pair->created, before + 1);
  EXPECT_EQ(pair->modified, before + 1);
}

TYPED_TEST_P(CoordinatorContract, TransactionIsRefusedWholeWhenOneComparisonFails) {
  const Revision a = this->Put("a", "1");
  this->Put("b", "1");
  const auto refused = this->second().Txn({{"a", a}, {"b", a}},
                                          {Operation::Put("a", "2"), Operation::Put("c", "2")});
  ASSERT_TRUE(refused.ok());
  EXPECT_FALSE(refused->committed);
  EXPECT_EQ(this->Value(this->first(), "a"), "1");
  EXPECT_EQ(this->Value(this->first(), "c"), "(not found)");
}

TYPED_TEST_P(CoordinatorContract, CompareWithZeroMeansTheKeyIsAbsent) {
  const auto made = this->first().Txn({{"a", 0}}, {Operation::Put("a", "1")});
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(made->committed);
  const auto again = this->second().Txn({{"a", 0}}, {Operation::Put("a", "2")});
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->committed);
  ASSERT_TRUE(this->first().Txn({{"a", made->revision}}, {Operation::Delete("a")})->committed);
  EXPECT_TRUE(this->second().Txn({{"a", 0}}, {Operation::Put("a", "3")})->committed);
  EXPECT_EQ(this->Value(this->first(), "a"), "3");
}

TYPED_TEST_P(CoordinatorContract, ListGivesAPrefixInOrder) {
  for (const char* key : {"d/2", "d/10", "d0", "d", "c/9", "d/1"}) this->Put(key, key);
  const auto pairs = this->second().List("d/");
  ASSERT_TRUE(pairs.ok());
  std::vector<std::string> keys;
  for (const KeyValue& pair : *pairs) keys.push_back(pair.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"d/1", "d/10", "d/2"}));
  EXPECT_EQ(this->first().List("")->size(), 6u);
}

TYPED_TEST_P(CoordinatorContract, ConcurrentCompareAndSetLosesNoUpdate) {
  this->Put("counter", "0");
  constexpr int kThreads = 4;
  constexpr int kRounds = 25;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    Coordinator& mine = t % 2 == 0 ? this->first() : this->second();
    threads.emplace_back([this, &mine] { this->Count(mine, "counter", kRounds); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(this->Value(this->second(), "counter"), std::to_string(kThreads * kRounds));
}

TYPED_TEST_P(CoordinatorContract, ChangesSinceTellsPutsAndDeletesInOrder) {
  const Revision start = this->Put("a", "1");
  this->Put("b", "2");
  this->Put("a", "3");
  ASSERT_TRUE(this->second().Txn({}, {Operation::Delete("b")}).ok());
  Follower follower{this->second(), start};
  ASSERT_TRUE(this->Until([&] {
    follower.Poll();
    return follower.changes.size() >= 3;
  }));
  EXPECT_TRUE(follower.complete);
  ASSERT_EQ(follower.changes.size(), 3u);
  EXPECT_EQ(follower.changes[0].key, "b");
  EXPECT_EQ(follower.changes[0].value, "2");
  EXPECT_EQ(follower.changes[1].value, "3");
  EXPECT_EQ(follower.changes[2].key, "b");
  EXPECT_FALSE(follower.changes[2].value.has_value());
  const auto none = this->second().ChangesSince(follower.seen);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->changes.empty());
  EXPECT_EQ(none->revision, follower.seen);
}

TYPED_TEST_P(CoordinatorContract, AFollowerHearsEveryChangeOnceAndInOrder) {
  Follower follower{this->second(), this->Put("counter", "0")};
  constexpr int kRounds = 50;
  std::vector<std::thread> threads;
  for (Coordinator* mine : {&this->first(), &this->second()}) {
    threads.emplace_back([this, mine] { this->Count(*mine, "counter", kRounds); });
  }
  EXPECT_TRUE(this->Until([&] {
    follower.Poll();
    return follower.changes.size() >= 2 * kRounds;
  }));
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(follower.complete);
  ASSERT_EQ(follower.changes.size(), 2u * kRounds);
  for (size_t i = 0; i < follower.changes.size(); ++i) {
    EXPECT_EQ(follower.changes[i].value, std::to_string(i + 1));
  }
}

// Those that know of changes call it; for the others the poll's own rounds must do.
TYPED_TEST_P(CoordinatorContract, AWakeupOutlivesWhoSetIt) {
  const auto calls = std::make_shared<std::atomic<int>>(0);
  this->second().SetWakeup([calls] { calls->fetch_add(1); });
  Follower follower{this->second(), this->Put("a", "1")};
  follower.Poll();
  this->Put("a", "2");
  EXPECT_TRUE(this->Until([&] {
    follower.Poll();
    return !follower.changes.empty();
  }));
  this->second().SetWakeup(nullptr);
  this->Put("a", "3");
  EXPECT_TRUE(this->Until([&] {
    follower.Poll();
    return follower.changes.size() == 2;
  }));
}

TYPED_TEST_P(CoordinatorContract, ChangesTooOldAreReportedAsIncomplete) {
  const Revision start = this->Put("first", "1");
  ASSERT_TRUE(this->second().ChangesSince(start).ok());
  for (uint64_t i = 0; i < cluster::kChangesKept + 256; i += 32) {
    std::vector<Operation> operations;
    for (uint64_t k = 0; k < 32; ++k) {
      operations.push_back(Operation::Put("k" + std::to_string(k), std::to_string(i)));
    }
    ASSERT_TRUE(this->first().Txn({}, operations).ok());
  }
  const auto last = this->first().CurrentRevision();
  ASSERT_TRUE(last.ok());
  // Who never asked since then.
  Revision next = 0;
  ASSERT_TRUE(this->Until([&] {
    const auto old = this->second().ChangesSince(start);
    EXPECT_TRUE(old.ok()) << old.status().ToString();
    EXPECT_TRUE(old->complete || old->changes.empty());
    next = old->revision;
    return next == *last;
  }));
  EXPECT_FALSE(this->second().ChangesSince(start)->complete);
  const auto recent = this->second().ChangesSince(next - 2);
  ASSERT_TRUE(recent.ok());
  EXPECT_TRUE(recent->complete);
  EXPECT_EQ(recent->changes.size(), 64u);
}

TYPED_TEST_P(CoordinatorContract, KeysOfAnEndedLeaseAreDeletedAndTold) {
  const base::SteadyTime begin = this->harness_.Now();
  const auto lease = this->first().GrantLease(TypeParam::kTtl);
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  Follower follower{this->second(), this->Put("alive", "s1", *lease)};
  ASSERT_TRUE(this->Until([&] {
    follower.Poll();
    return !follower.changes.empty();
  }));
  EXPECT_GE(this->harness_.Now() - begin, TypeParam::kTtl);
  ASSERT_EQ(follower.changes.size(), 1u);
  EXPECT_EQ(follower.changes[0].key, "alive");
  EXPECT_FALSE(follower.changes[0].value.has_value());
  EXPECT_EQ(this->Value(this->second(), "alive"), "(not found)");
  EXPECT_EQ(this->first().KeepAlive(*lease).code(), base::Code::kNotFound);
}

TYPED_TEST_P(CoordinatorContract, ALeaseKeptAliveLives) {
  const base::SteadyTime begin = this->harness_.Now();
  const auto lease = this->first().GrantLease(TypeParam::kTtl);
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  this->Put("alive", "s1", *lease);
  base::Status kept;
  ASSERT_TRUE(this->Until([&] {
    kept = this->first().KeepAlive(*lease);
    return !kept.ok() || this->harness_.Now() - begin > 2 * TypeParam::kTtl;
  }));
  EXPECT_TRUE(kept.ok()) << kept.ToString();
  EXPECT_EQ(this->Value(this->second(), "alive"), "s1");
}

TYPED_TEST_P(CoordinatorContract, RevokingALeaseDeletesItsKeysOnly) {
  const auto lease = this->first().GrantLease(std::chrono::seconds(50));
  ASSERT_TRUE(lease.ok());
  this->Put("leased", "1", *lease);
  this->Put("kept", "1", *lease);
  this->Put("kept", "2");  // a put without the lease takes the key out of it
  ASSERT_TRUE(this->second().RevokeLease(*lease).ok());
  EXPECT_EQ(this->Value(this->first(), "leased"), "(not found)");
  EXPECT_EQ(this->Value(this->first(), "kept"), "2");
  EXPECT_TRUE(this->second().RevokeLease(*lease).ok());
}

TYPED_TEST_P(CoordinatorContract, APutWithAnEndedLeaseChangesNothing) {
  const auto revoked = this->first().GrantLease(std::chrono::seconds(50));
  const auto ended = this->first().GrantLease(TypeParam::kTtl);
  ASSERT_TRUE(revoked.ok());
  ASSERT_TRUE(ended.ok());
  this->Put("alive", "s1", *ended);
  ASSERT_TRUE(this->first().RevokeLease(*revoked).ok());
  ASSERT_TRUE(this->Until([&] { return this->Value(this->second(), "alive") == "(not found)"; }));
  for (const LeaseId lease : {*revoked, *ended}) {
    const auto result =
        this->first().Txn({}, {Operation::Put("a", "1"), Operation::Put("b", "1", lease)});
    EXPECT_EQ(result.status().code(), base::Code::kNotFound);
    EXPECT_EQ(this->Value(this->second(), "a"), "(not found)");
    EXPECT_EQ(this->first().KeepAlive(lease).code(), base::Code::kNotFound);
  }
}

TYPED_TEST_P(CoordinatorContract, ATransactionChangesAKeyOnce) {
  const auto twice = this->first().Txn({}, {Operation::Put("a", "1"), Operation::Delete("a")});
  EXPECT_EQ(twice.status().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(this->Value(this->second(), "a"), "(not found)");
}

TYPED_TEST_P(CoordinatorContract, WhatIsTooLargeIsRefused) {
  using cluster::kKeyBytesMax;
  EXPECT_EQ(this->first().Get("").status().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(this->first()
                .Txn({}, {Operation::Put(std::string(kKeyBytesMax + 1, 'k'), "v")})
                .status()
                .code(),
            base::Code::kInvalidArgument);
  EXPECT_EQ(this->first()
                .Txn({}, {Operation::Put("k", std::string(cluster::kValueBytesMax + 1, 'v'))})
                .status()
                .code(),
            base::Code::kInvalidArgument);
  std::vector<Operation> large;
  for (int i = 0; i < 5; ++i) {
    large.push_back(
        Operation::Put("k" + std::to_string(i), std::string(cluster::kValueBytesMax, 'v')));
  }
  EXPECT_EQ(this->first().Txn({}, large).status().code(), base::Code::kInvalidArgument);
  large.resize(3);
  const auto fits = this->first().Txn({}, large);
  EXPECT_TRUE(fits.ok()) << fits.status().ToString();
  EXPECT_EQ(this->second().Get("k2")->value.size(), cluster::kValueBytesMax);
}

REGISTER_TYPED_TEST_SUITE_P(
    CoordinatorContract, GetSeesWhatAnotherClientPut, RevisionGrowsOncePerChangingTransaction,
    TransactionIsRefusedWholeWhenOneComparisonFails, CompareWithZeroMeansTheKeyIsAbsent,
    ListGivesAPrefixInOrder, ConcurrentCompareAndSetLosesNoUpdate,
    ChangesSinceTellsPutsAndDeletesInOrder, AFollowerHearsEveryChangeOnceAndInOrder,
    AWakeupOutlivesWhoSetIt, ChangesTooOldAreReportedAsIncomplete,
    KeysOfAnEndedLeaseAreDeletedAndTold, ALeaseKeptAliveLives, RevokingALeaseDeletesItsKeysOnly,
    APutWithAnEndedLeaseChangesNothing, ATransactionChangesAKeyOnce, WhatIsTooLargeIsRefused);

}  // namespace understudy::test
