// SPDX-License-Identifier: Apache-2.0
#include "cli/suggest.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace understudy::cli {
namespace {

constexpr size_t kDistanceMax = 2;

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string Nearest(std::string_view typed, const std::vector<std::string>& names) {
  std::string best;
  size_t best_distance = kDistanceMax + 1;
  for (const std::string& name : names) {
    const size_t distance = EditDistance(typed, name);
    // "db" is within two edits of every short word: a guess must keep most of the letters.
    if (distance < best_distance && distance * 2 < name.size()) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

std::string FirstUnknownWord(const std::vector<std::string>& arguments,
                             std::string_view command_path) {
  constexpr std::array<std::string_view, 4> kWithValue = {"--server", "-o", "--format",
                                                          "--timeout"};
  std::vector<std::string_view> path;
  for (size_t at = command_path.find(' '); at != std::string_view::npos;) {
    const size_t next = command_path.find(' ', at + 1);
    path.push_back(command_path.substr(at + 1, next - at - 1));
    at = next;
  }
  size_t matched = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word.starts_with('-')) {
      if (std::find(kWithValue.begin(), kWithValue.end(), word) != kWithValue.end()) ++i;
    } else if (matched < path.size() && word == path[matched]) {
      ++matched;
    } else {
      return word;
    }
  }
  return "";
}

}  // namespace understudy::cli
