// SPDX-License-Identifier: Apache-2.0
#include "web/state_stream.h"

#include <gtest/gtest.h>

#include "web/source_fixture.h"
#include "web/status_json.h"

namespace understudy::web {
namespace {

Json DataOf(const std::string& frame) {
  const size_t begin = frame.find("data: ") + 6;
  return Json::parse(frame.substr(begin, frame.find('\n', begin) - begin));
}

std::string IdOf(const std::string& frame) { return frame.substr(4, frame.find('\n') - 4); }

bool Is(const std::string& frame, const std::string& event) {
  return frame.find("\nevent: " + event + "\n") != std::string::npos;
}

TEST(StateStream, TellsEverythingThenWhatChanges) {
  test::FixedSource source;
  StateStream stream;
  stream.Next(source.snapshot);
  const std::string whole = stream.Since("");
  EXPECT_TRUE(Is(whole, "state"));
  EXPECT_EQ(DataOf(whole)["databases"].size(), 3U);
  EXPECT_EQ(DataOf(whole)["copies"]["mail"]["replay_queue"], 7);
  EXPECT_EQ(DataOf(whole)["set"]["paused"], true);

  source.mail().replay_queue = 9;
  const std::string change = stream.Next(source.snapshot);
  EXPECT_TRUE(Is(change, "change"));
  EXPECT_EQ(DataOf(change)["copies"].size(), 1U);
  EXPECT_EQ(DataOf(change)["copies"]["mail"]["replay_queue"], 9);
  EXPECT_FALSE(DataOf(change).contains("databases"));

  source.snapshot.copies.pop_back();
  EXPECT_TRUE(DataOf(stream.Next(source.snapshot))["copies"]["mail"].is_null());
}

TEST(StateStream, BeatsWhileOnlyAgesChange) {
  test::FixedSource source;
  StateStream stream;
  const std::string first = stream.Next(source.snapshot);
  source.mail().replayed_age = std::chrono::seconds(7);
  source.snapshot.now = {2'000'000};
  const std::string beat = stream.Next(source.snapshot);
  EXPECT_TRUE(Is(beat, "beat"));
  EXPECT_EQ(IdOf(beat), IdOf(first));
  EXPECT_EQ(DataOf(beat)["set"].size(), 2U);
}

TEST(StateStream, GivesWhatWasMissed) {
  test::FixedSource source;
  StateStream stream;
  const std::string id = IdOf(stream.Next(source.snapshot));
  source.mail().replay_queue = 8;
  const std::string second = stream.Next(source.snapshot);
  source.mail().replay_queue = 9;
  const std::string third = stream.Next(source.snapshot);
  EXPECT_EQ(stream.Since(id), second + third);
  EXPECT_EQ(stream.Since(IdOf(second)), third);
  EXPECT_TRUE(Is(stream.Since(IdOf(third)), "beat"));
}

TEST(StateStream, GivesEverythingForAnIdThatItCannotFollow) {
  test::FixedSource source;
  source.snapshot.started = {77};
  StateStream stream;
  const std::string first = IdOf(stream.Next(source.snapshot));
  for (size_t i = 0; i <= StateStream::kFramesMax; ++i) {
    source.mail().replay_queue = 100 + i;
    stream.Next(source.snapshot);
  }
  for (const std::string& id :
       {first, std::string("76-1"), std::string("77-"), std::string("77-99999"),
        std::string("77-1x"), std::string("77-99999999999999999999999"), std::string("x")}) {
    EXPECT_TRUE(Is(stream.Since(id), "state")) << id;
  }
}

// A name cannot end a line of the stream or a string of its JSON.
TEST(StateStream, KeepsAnyTextInItsPlace) {
  test::FixedSource source;
  source.mail().error = "a\n\nevent: state\ndata: \"}\xff";
  StateStream stream;
  const std::string frame = stream.Next(source.snapshot);
  EXPECT_EQ(frame.find("\n\n"), frame.size() - 2);
  EXPECT_EQ(DataOf(frame)["copies"]["mail"]["error"].get<std::string>().substr(0, 3), "a\n\n");
}

}  // namespace
}  // namespace understudy::web
