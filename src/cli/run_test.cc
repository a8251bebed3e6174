// SPDX-License-Identifier: Apache-2.0
// The whole command in process: parsing, exit codes, sentences. Nothing here needs a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "cli/command.h"
#include "cli/main.h"
#include "cli/seed_watch.h"
#include "cli/views.h"
#include "testing/mem_env.h"

namespace understudy::cli {
namespace {

using testing::HasSubstr;

struct Outcome {
  ExitCode code;
  std::string out;
  std::string error;
};

Outcome Understudy(const std::vector<std::string>& arguments) {
  test::MemEnv env;
  std::ostringstream out;
  std::ostringstream error;
  const ExitCode code = Run(arguments, out, error, env);
  return {code, out.str(), error.str()};
}

TEST(Run, UnknownCommandSuggestsTheNearestOne) {
  const Outcome outcome = Understudy({"stauts"});
  EXPECT_EQ(outcome.code, ExitCode::kUsage);
  EXPECT_EQ(outcome.error,
            "understudy: 'stauts' is not a command of 'understudy'\n"
            "hint: did you mean 'understudy status'?\n");
}

TEST(Run, UnknownSubcommandNamesItsGroup) {
  const Outcome outcome = Understudy({"db", "ad", "mail", "/x"});
  EXPECT_EQ(outcome.code, ExitCode::kUsage);
  EXPECT_THAT(outcome.error, HasSubstr("'ad' is not a command of 'understudy db'"));
}

TEST(Run, MissingCommandIsUsage) {
  EXPECT_EQ(Understudy({}).code, ExitCode::kUsage);
  EXPECT_THAT(Understudy({"copy"}).error, HasSubstr("'understudy copy' needs a command after it"));
}

TEST(Run, BadNamesAreRefusedBeforeAnybodyIsAsked) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"db", "add", "ma/il", "/x"},
        std::vector<std::string>{"db", "add", "mail", "/x", "--copies", "s2,s/3"},
        std::vector<std::string>{"status", ".hidden"},
        std::vector<std::string>{"copy", "add", "a", "-"},
        std::vector<std::string>{"lost", "show", "../20260101T000000Z-1.1"},
        std::vector<std::string>{"lost", "remove", "20260101T000000Z-1.1"},
        std::vector<std::string>{"restore", "--repo", "/r", "--db", "a/b", "--output", "/o"}}) {
    const Outcome outcome = Understudy(arguments);
    EXPECT_EQ(outcome.code, ExitCode::kUsage) << outcome.error;
    EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 2) << outcome.error;
  }
}

TEST(Run, BadValuesAreUsageErrorsThatNameThem) {
  EXPECT_THAT(Understudy({"status", "--timeout", "soon"}).error, HasSubstr("'soon'"));
  EXPECT_EQ(Understudy({"status", "-o", "xml"}).code, ExitCode::kUsage);
  EXPECT_EQ(Understudy({"wait", "mail", "--replayed", "--durable"}).code, ExitCode::kUsage);
  EXPECT_EQ(Understudy({"lab", "up", "--dir", "/d", "--servers", "99"}).code, ExitCode::kUsage);
  EXPECT_EQ(Understudy({"version", "extra"}).code, ExitCode::kUsage);
}

TEST(Run, UsageErrorsAreJsonForPrograms) {
  const Outcome outcome = Understudy({"-o", "json", "stauts"});
  EXPECT_EQ(outcome.code, ExitCode::kUsage);
  EXPECT_EQ(outcome.out, "");
  const Json error = Json::parse(outcome.error)["error"];
  EXPECT_EQ(error["code"], "invalid argument");
  EXPECT_EQ(error["hint"], "did you mean 'understudy status'?");
}

TEST(Run, ServerThatIsNotThereIsExitCodeThree) {
  // Port 1 of loopback: refused at once.
  const Outcome outcome = Understudy({"--server", "127.0.0.1:1", "status"});
  EXPECT_EQ(outcome.code, ExitCode::kNotReachable);
  EXPECT_THAT(outcome.error, HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(outcome.error, HasSubstr("\nhint: "));
}

TEST(Run, OptionsOfEveryCommandMayStandAnywhere) {
  const Outcome outcome = Understudy({"version", "-o", "json"});
  EXPECT_EQ(outcome.code, ExitCode::kDone);
  EXPECT_EQ(Json::parse(outcome.out)["admin_protocol"], 1);
}

TEST(Run, RestoreFromNoRepositoryFails) {
  const Outcome outcome =
      Understudy({"restore", "--repo", "/nowhere", "--db", "mail", "--output", "/out"});
  EXPECT_EQ(outcome.code, ExitCode::kFailed);
  EXPECT_THAT(outcome.error, HasSubstr("/nowhere"));
}

TEST(Run, DumpOfNoLogFails) {
  EXPECT_EQ(Understudy({"log", "dump", "/nowhere"}).code, ExitCode::kFailed);
}

TEST(Run, LabCommandsWithoutALabSayHowToNameOne) {
  ::unsetenv("UNDERSTUDY_LAB");
  const Outcome outcome = Understudy({"lab", "status"});
  EXPECT_EQ(outcome.code, ExitCode::kFailed);
  EXPECT_THAT(outcome.error, HasSubstr("--dir D or UNDERSTUDY_LAB"));
}

TEST(Run, EveryCommandHelpsWithAnExample) {
  for (const Group& group : AllGroups()) {
    for (const Command& command : group.commands) {
      std::vector<std::string> arguments;
      if (!group.name.empty()) arguments.push_back(group.name);
      arguments.push_back(command.name);
      arguments.push_back("--help");
      const Outcome outcome = Understudy(arguments);
      EXPECT_EQ(outcome.code, ExitCode::kDone) << command.name;
      EXPECT_THAT(outcome.out, HasSubstr("EXAMPLE\n  ")) << command.name;
      EXPECT_THAT(outcome.out, HasSubstr("understudy ")) << command.name;
      EXPECT_FALSE(command.summary.ends_with('.')) << command.name;
    }
  }
}

TEST(Views, StatusHasTheNamesThatProgramsRelyOn) {
  v1::DatabaseStatus status;
  status.set_name("mail");
  status.set_term(3);
  status.mutable_position()->set_seq(1742);
  v1::CopyStatus* copy = status.add_copies();
  copy->set_server("s2");
  copy->set_state("Seeding");
  copy->set_seed_bytes_done(1 << 20);
  copy->set_seed_bytes_total(4 << 20);
  copy->mutable_replayed()->set_seq(1700);
  copy->set_error("link lost\nhint");
  const Json row = StatusJson(status);
  EXPECT_EQ(row["position"], 1742);
  EXPECT_EQ(row["copies"][0]["replayed"], 1700);
  EXPECT_EQ(row["copies"][0]["last_commit"], nullptr);
  for (const char* key : {"server", "path", "role", "state", "copy_queue", "replay_queue", "copied",
                          "replayed", "error", "holds"}) {
    EXPECT_TRUE(row["copies"][0].contains(key)) << key;
  }
  const std::string text = RenderStatus(row, {});
  EXPECT_THAT(text, HasSubstr("s2: seeded 1 MiB of 4 MiB (25%)"));
  EXPECT_THAT(text, HasSubstr("s2: link lost\n"));
  copy->set_state("DisconnectedAndResynchronizing");
  EXPECT_THAT(RenderStatus(StatusJson(status), {}),
              HasSubstr("s2: resynchronised 1 MiB of 4 MiB (25%)"));
}

TEST(Views, TimesAreRfc3339OrNull) {
  EXPECT_EQ(TimeJson(0), nullptr);
  EXPECT_EQ(TimeJson(1'767'225'600'125), "2026-01-01T00:00:00.125Z");
}

TEST(SeedWatch, KnowsWhichStatesFollowAndWhichStop) {
  EXPECT_EQ(OutcomeOf("Healthy"), SeedOutcome::kFollows);
  EXPECT_EQ(OutcomeOf("Seeding"), SeedOutcome::kUnderWay);
  EXPECT_EQ(OutcomeOf("Initializing"), SeedOutcome::kUnderWay);
  EXPECT_EQ(OutcomeOf("FailedAndSuspended"), SeedOutcome::kStopped);
}

}  // namespace
}  // namespace understudy::cli
