// SPDX-License-Identifier: Apache-2.0
// Every change is told with who, from where, what and the outcome; what only looks is not.
#include "rpc/audit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/diag.h"
#include "rpc/admin_client.h"
#include "rpc/rpc_fixture.h"
#include "understudy/v1/membership.pb.h"

namespace understudy::rpc {
namespace {

// The lines of the area "audit".
class AuditTest : public ::testing::Test {
 protected:
  void SetUp() override {
    base::SetDiagSink([this](base::DiagLevel, std::string_view area, std::string_view message,
                             const std::vector<base::DiagField>& fields) {
      if (area != "audit") return;
      base::MutexLock lock(mutex_);
      lines_.push_back(base::FormatDiag(message, fields));
    });
  }
  void TearDown() override { base::SetDiagSink({}); }
  std::vector<std::string> Lines() {
    base::MutexLock lock(mutex_);
    return lines_;
  }

  base::Mutex mutex_;
  std::vector<std::string> lines_;
};

TEST_F(AuditTest, AChangeIsToldWithItsOutcomeAndAQuestionIsNot) {
  Backend backend;
  Echo echo;
  RpcServer::Options options;
  options.listen = "127.0.0.1:0";
  options.server_name = "s1";
  auto server = RpcServer::Start(options, backend, echo);
  ASSERT_TRUE(server.ok()) << server.status().ToString();
  const auto client = AdminClient::Connect(fmt::format("127.0.0.1:{}", (*server)->port()),
                                           std::chrono::seconds(20));
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  (void)(*client)->Status({});
  v1::SwitchoverRequest request;
  request.set_database("orders");
  const base::Status outcome = (*client)->Switchover(request).status();
  (*server)->Shutdown(base::Duration(0));
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("Switchover who=\"no certificate\" from=ipv4:127.0.0.1:"))
      << lines[0];
  EXPECT_NE(lines[0].find("database=orders"), std::string::npos) << lines[0];
  EXPECT_EQ(lines[0].ends_with("result=ok"), outcome.ok()) << lines[0];
}

TEST_F(AuditTest, KeysAreNotToldAndLongTextsAreCut) {
  v1::SignRequest request;
  request.set_request_pem("-----BEGIN");
  request.set_kind("client");
  request.set_name(std::string(10'000, 'x'));
  const std::string told = ToldOf(request);
  EXPECT_EQ(told.find("BEGIN"), std::string::npos);
  EXPECT_TRUE(told.starts_with("kind=client name=xxx"));
  EXPECT_LE(told.size(), kToldBytesMax + 3);
  EXPECT_EQ(ToldOf(v1::StatusRequest()), "");
}

TEST_F(AuditTest, RefusalsAreBoundedAndCounted) {
  Refusals refusals;
  base::SteadyTime now = base::SteadyTime() + std::chrono::hours(1);
  const auto refuse = [&] { refusals.Tell("client vic", "/x/Switchover", "no", now); };
  for (uint64_t i = 0; i < Refusals::kRefusalsMax + 7; ++i) refuse();
  EXPECT_EQ(Lines().size(), Refusals::kRefusalsMax);
  now += Refusals::kRefusalsEvery;
  refuse();
  ASSERT_EQ(Lines().size(), Refusals::kRefusalsMax + 1);
  EXPECT_EQ(Lines().back(), "refused Switchover who=\"client vic\" why=no left_out_before=7");
}

}  // namespace
}  // namespace understudy::rpc
