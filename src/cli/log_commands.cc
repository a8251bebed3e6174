// SPDX-License-Identifier: Apache-2.0
#include "cli/groups.h"
#include "log/record_dump.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string path;
  bool entries = false;
};

base::Status Dump(Context& context, const Arguments& arguments) {
  Output& output = context.output();
  const log::DumpOptions options{.json = output.json(), .entries = arguments.entries};
  // A log may be long: lines go out as they come, one JSON object each with -o json.
  return log::DumpLog(context.env(), arguments.path, options,
                      [&output](std::string_view line) { output.Text(std::string(line) + "\n"); });
}

Runner DefineDump(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("PATH", arguments->path, "a generation file, or a directory of them")->required();
  app.add_flag("--entries", arguments->entries, "a line for each page, too");
  return [arguments](Context& context) { return Dump(context, *arguments); };
}

}  // namespace

Group LogCommands() {
  return {"log",
          "The replicated log on disk",
          {{.name = "dump",
            .summary = "Print the records in log files; needs no server",
            .example = "understudy log dump /var/lib/understudy/mail/log --entries",
            .define = DefineDump,
            .not_found_hint = "a server keeps a database's log in DATA_DIR/NAME/log"}}};
}

}  // namespace understudy::cli
