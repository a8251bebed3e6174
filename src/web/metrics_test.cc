// SPDX-License-Identifier: Apache-2.0
#include "web/metrics.h"

#include <gmock/gmock.h>

#include <set>

#include "web/answer.h"
#include "web/source_fixture.h"

namespace understudy::web {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, SayWhatIsKnownAndNothingElse) {
  test::FixedSource source;
  source.snapshot.events = {{2012, "info", 3}};
  source.snapshot.lease_remaining = std::chrono::milliseconds(4500);
  source.mail().copied_age.reset();
  const Answer answer = AnswerTo({"GET", "/metrics", {}}, source);
  EXPECT_EQ(answer.code, 200);
  EXPECT_STREQ(answer.type, kMetricsType);
  for (const char* line :
       {"# TYPE understudy_events_total counter\n",
        "\nunderstudy_events_total{number=\"2012\",severity=\"info\"} 3\n",
        "\nunderstudy_lease_remaining_seconds 4.5\n", "\nunderstudy_server_up{server=\"s2\"} 1\n",
        "\nunderstudy_copy_writable{database=\"orders\"} 1\n",
        "\nunderstudy_copy_queue_commits{database=\"mail\"} 3\n",
        "\nunderstudy_replayed_age_seconds{database=\"mail\"} 0.9\n",
        "\nunderstudy_durable_commits_total{database=\"orders\"} 1000\n",
        "\nunderstudy_database_active{database=\"orders\",server=\"s1\"} 1\n",
        "\nunderstudy_copy_state{database=\"orders\",state=\"Mounted\"} 1\n"}) {
    EXPECT_THAT(answer.body, HasSubstr(line));
  }
  EXPECT_THAT(answer.body, Not(HasSubstr("understudy_copied_age_seconds")));
  EXPECT_THAT(answer.body, Not(HasSubstr("understudy_backup_last_success")));
}

TEST(Metrics, OnlyWhatIsInTheCatalogueAndEachOnce) {
  std::set<std::string_view> names;
  for (const MetricEntry& entry : MetricCatalogue()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_EQ(entry.name.substr(0, 11), "understudy_");
    EXPECT_EQ(entry.type == "counter", entry.name.ends_with("_total")) << entry.name;
  }
}

TEST(Metrics, ANameCannotBreakOut) {
  test::FixedSource source;
  source.orders().state = "a\"} 1\nevil{x=\"\\";
  const std::string text = MetricsText(source.snapshot);
  EXPECT_THAT(text, HasSubstr("state=\"a\\\"} 1\\nevil{x=\\\"\\\\\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("\nevil")));
}

TEST(Metrics, HaveALimit) {
  test::FixedSource source;
  auto group = std::make_shared<GroupView>(*source.snapshot.group);
  for (size_t i = 0; i < kMetricDatabasesMax + 5; ++i) {
    cluster::DatabaseRecord record;
    record.name = "z" + std::to_string(i);
    group->databases.push_back(record);
  }
  source.snapshot.group = group;
  EXPECT_THAT(MetricsText(source.snapshot), HasSubstr("understudy_metrics_left_out_databases 8\n"));
}

TEST(Metrics, BeforeTheRegistryWasReadThereIsTheServerAlone) {
  test::FixedSource source;
  source.snapshot.group = nullptr;
  source.snapshot.coordinator_silence.reset();
  const std::string text = MetricsText(source.snapshot);
  EXPECT_THAT(text, HasSubstr("understudy_build_info{version=\"1\"} 1"));
  EXPECT_THAT(text, Not(HasSubstr("understudy_server_up")));
  EXPECT_THAT(text, Not(HasSubstr("coordinator_silence")));
}

}  // namespace
}  // namespace understudy::web
