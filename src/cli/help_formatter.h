// SPDX-License-Identifier: Apache-2.0
// HelpFormatter: --help as CLI11 writes it, but the same every time: CLI11 lists what an option
// needs and excludes by the addresses of those options. Threading: thread-compatible.
#pragma once

#include <memory>
#include <set>
#include <string>

#include <CLI/CLI.hpp>

namespace understudy::cli {

class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(34); }

  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text = CLI::Formatter::make_option_opts(option);
    Sort(text, " Needs:", option->get_needs());
    Sort(text, " Excludes:", option->get_excludes());
    return text;
  }

 private:
  static void Sort(std::string& text, const std::string& label,
                   const std::set<CLI::Option*>& options) {
    std::string found = label;
    std::string sorted = label;
    std::set<std::string> names;
    for (const CLI::Option* const each : options) {
      found += " " + each->get_name();
      names.insert(each->get_name());
    }
    for (const std::string& name : names) sorted += " " + name;
    const size_t at = text.find(found);
    if (!options.empty() && at != std::string::npos) text.replace(at, found.size(), sorted);
  }
};

}  // namespace understudy::cli
