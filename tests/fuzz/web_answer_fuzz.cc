// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any path and parameters get one of the codes of docs/routing.md and a body that,
// where it says so, is JSON. The input is lines: a path, then name and value of each parameter.
#include <nlohmann/json.hpp>

#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "base/check.h"
#include "web/answer.h"
#include "web/source_fixture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const understudy::web::test::FixedSource kSource;
  static const std::set<int> kCodes = {200, 400, 404, 503};
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  understudy::web::Question question;
  question.method = "GET";
  std::getline(lines, question.path);
  std::string name;
  std::string value;
  while (std::getline(lines, name) && std::getline(lines, value)) {
    question.parameters.emplace(name, value);
  }
  const understudy::web::Answer answer = understudy::web::AnswerTo(question, kSource);
  CHECK(kCodes.contains(answer.code));
  const bool json = std::string_view(answer.type) == "application/json";  // else a page, or metrics
  CHECK(!json || nlohmann::json::accept(answer.body));
  return 0;
}
