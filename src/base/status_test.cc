// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <tuple>

namespace understudy::base {
namespace {

TEST(Status, OkHasNoMessageAndTakesNoContext) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().ToString(), "ok");
  EXPECT_TRUE(Status().WithContext("copy").ok());
  EXPECT_EQ(Status().WithContext("copy").message(), "");
}

TEST(Status, ContextGoesInFrontAndTheCodeStays) {
  const Status status =
      Corruption("checksum mismatch").WithContext("page 17").WithContext("orders");
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_EQ(status.ToString(), "corruption: orders: page 17: checksum mismatch");
}

TEST(Status, EveryCodeHasItsOwnNameAndMaker) {
  const Status all[] = {NotFound("m"), AlreadyExists("m"), InvalidArgument("m"), IoError("m"),
                        NoSpace("m"),  Corruption("m"),    LogGap("m"),          Diverged("m"),
                        Fenced("m"),   Unavailable("m"),   TimedOut("m"),        Cancelled("m"),
                        Busy("m"),     Internal("m")};
  std::set<std::string_view> names = {CodeName(Code::kOk)};
  int code = 1;
  for (const Status& status : all) {
    EXPECT_EQ(status.code(), static_cast<Code>(code++));
    EXPECT_EQ(status.message(), "m");
    EXPECT_NE(CodeName(status.code()), "unknown");
    names.insert(CodeName(status.code()));
  }
  EXPECT_EQ(names.size(), std::size(all) + 1);
}

Result<int> Half(int number) {
  if (number % 2 != 0) return InvalidArgument("odd");
  return number / 2;
}

Result<int> Quarter(int number) {
  ASSIGN_OR_RETURN(const int half, Half(number));
  ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

Status CheckEven(int number) {
  RETURN_IF_ERROR(Half(number).status());
  return Status();
}

TEST(Result, HoldsAValueOrTheFailure) {
  EXPECT_EQ(*Half(4), 2);
  EXPECT_TRUE(Half(4).status().ok());
  EXPECT_EQ(Half(3).status().ToString(), "invalid argument: odd");
}

TEST(Result, MacrosReturnTheFirstFailure) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status().code(), Code::kInvalidArgument);
  EXPECT_TRUE(CheckEven(2).ok());
  EXPECT_FALSE(CheckEven(1).ok());
}

TEST(Result, CarriesValuesThatOnlyMove) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 7);
}

TEST(ResultDeathTest, AskingAFailureForItsValueStopsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({ std::ignore = Half(3).value(); }, "ok");
  EXPECT_DEATH({ Result<int> wrong{Status()}; }, "ok");
}

}  // namespace
}  // namespace understudy::base
