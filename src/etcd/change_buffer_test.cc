// SPDX-License-Identifier: Apache-2.0
#include "etcd/change_buffer.h"

#include <gtest/gtest.h>

namespace understudy::etcd {
namespace {

using cluster::Change;
using cluster::Revision;

Change At(Revision revision, size_t value_bytes = 1) {
  return {"k", std::string(value_bytes, 'v'), revision};
}

TEST(ChangeBuffer, TellsWhatCameAfterARevision) {
  ChangeBuffer buffer;
  buffer.Restart(10);
  for (const Revision revision : {11, 11, 13}) buffer.Add(At(revision));
  buffer.Complete();
  EXPECT_EQ(buffer.next(), 14);
  EXPECT_EQ(buffer.Since(10).changes.size(), 3u);
  EXPECT_EQ(buffer.Since(11).changes.size(), 1u);
  EXPECT_EQ(buffer.Since(12).revision, 13);
  EXPECT_TRUE(buffer.Since(13).changes.empty());
  EXPECT_EQ(buffer.Since(20).revision, 20) << "a reader may know more than the watch";
  EXPECT_FALSE(buffer.HasNews(13));
}

TEST(ChangeBuffer, ARevisionIsToldWhole) {
  ChangeBuffer buffer;
  buffer.Restart(0);
  buffer.Add(At(1));
  buffer.Complete();
  buffer.Add(At(2));
  EXPECT_EQ(buffer.Since(0).changes.size(), 1u);
  EXPECT_EQ(buffer.Since(0).revision, 1);
  buffer.DropIncomplete();
  EXPECT_EQ(buffer.next(), 2) << "it comes again";
  buffer.Add(At(2));
  buffer.Add(At(2));
  buffer.Complete();
  EXPECT_EQ(buffer.Since(0).changes.size(), 3u);
}

TEST(ChangeBuffer, WhoAsksForWhatIsGoneIsTold) {
  ChangeBuffer buffer;
  buffer.Restart(10);
  EXPECT_FALSE(buffer.Since(9).complete);
  EXPECT_EQ(buffer.Since(9).revision, 10);
  EXPECT_TRUE(buffer.Since(10).complete);
  buffer.Restart(30);  // after a hole
  EXPECT_TRUE(buffer.HasNews(10));
  EXPECT_FALSE(buffer.Since(10).complete);
  EXPECT_TRUE(buffer.Since(30).complete);
}

TEST(ChangeBuffer, KeepsWhatTheInterfacePromisesAndNotMuchMore) {
  ChangeBuffer buffer;
  buffer.Restart(0);
  constexpr Revision kLast = 3 * cluster::kChangesKept;
  for (Revision revision = 1; revision <= kLast; ++revision) buffer.Add(At(revision));
  buffer.Complete();
  const auto kept = buffer.Since(kLast - static_cast<Revision>(cluster::kChangesKept));
  EXPECT_TRUE(kept.complete);
  EXPECT_EQ(kept.changes.size(), cluster::kChangesKept);
  EXPECT_FALSE(buffer.Since(kLast - static_cast<Revision>(ChangeBuffer::kChangesMax) - 1).complete);
}

TEST(ChangeBuffer, KeepsFewLargeChanges) {
  ChangeBuffer buffer;
  buffer.Restart(0);
  constexpr Revision kLast = 2 * ChangeBuffer::kBytesMax / cluster::kValueBytesMax;
  for (Revision revision = 1; revision <= kLast; ++revision) {
    buffer.Add(At(revision, cluster::kValueBytesMax));
    buffer.Complete();
  }
  EXPECT_FALSE(buffer.Since(1).complete);
  EXPECT_EQ(buffer.Since(1).revision, kLast);
  EXPECT_TRUE(buffer.Since(kLast - 1).complete);
}

}  // namespace
}  // namespace understudy::etcd
