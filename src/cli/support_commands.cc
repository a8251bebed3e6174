// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "cli/groups.h"
#include "cli/human.h"
#include "cli/support_bundle.h"
#include "cli/table.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string output;
  bool force = false;
};

// "understudy-support-20261127T082000Z.tar.gz"
std::string DefaultName(base::WallTime now) {
  std::string time = base::ToRfc3339(now).substr(0, 19);
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  return fmt::format("understudy-support-{}Z.tar.gz", time);
}

base::Status Bundle(Context& context, const Arguments& arguments) {
  env::Env& env = context.env();
  const base::WallTime now = env.WallNow();
  const std::string output = arguments.output.empty() ? DefaultName(now) : arguments.output;
  if (env::Exists(env, output) && !arguments.force) {
    return base::AlreadyExists(fmt::format("{} exists", output));
  }
  SupportBundle bundle(context, now);
  RETURN_IF_ERROR(bundle.Collect());
  ASSIGN_OR_RETURN(const base::Bytes archive, bundle.Finish());
  RETURN_IF_ERROR(env::WritePrivateFileAtomically(env, output, archive));
  Json missing = Json::array();
  for (const Json& entry : bundle.entries()) {
    if (!entry["got"].get<bool>()) missing.push_back(entry);
  }
  std::string text = fmt::format(
      "{} written: {}, {} answers, {} could not be got\nit has no secrets that we know of, but "
      "names, "
      "addresses and paths: look at it before you send it\n",
      output, FormatBytes(archive.size()), bundle.entries().size() - bundle.failed(),
      bundle.failed());
  if (!missing.empty()) {
    text += RenderTable(missing, {{"file"}, {"why"}}, context.output().style());
  }
  context.output().Document(Json{{"bundle",
                                  {{"output", output},
                                   {"size", archive.size()},
                                   {"answers", bundle.entries().size() - bundle.failed()},
                                   {"missing", missing}}}},
                            text);
  return {};
}

Runner DefineBundle(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("--output", arguments->output,
                 "the file to write (default: understudy-support-TIME.tar.gz)")
      ->type_name("FILE");
  app.add_flag("--force", arguments->force, "replace the file if it exists");
  return [arguments](Context& context) { return Bundle(context, *arguments); };
}

}  // namespace

Group SupportCommands() {
  return {
      "",
      "",
      {{.name = "support-bundle",
        .summary = "Collect what a report about a problem needs, from every server, in one file",
        .example = "understudy support-bundle --output /tmp/bundle.tar.gz",
        .define = DefineBundle,
        .exists_hint = "--force replaces the file"}}};
}

}  // namespace understudy::cli
