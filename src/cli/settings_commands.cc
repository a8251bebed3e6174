// SPDX-License-Identifier: Apache-2.0
// The group's settings, which can be changed while everything runs.
#include <fmt/format.h>

#include "cli/groups.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string name;
  std::string value;
};

void Show(Context& context, const v1::GetSettingsResponse& answer) {
  Json rows = Json::array();
  for (const v1::GetSettingsResponse::Setting& setting : answer.settings()) {
    rows.push_back(
        {{"name", setting.name()},
         {"value", setting.is_text() ? Json(setting.text()) : Json(setting.value())},
         {"default", setting.is_text() ? Json(setting.initial_text()) : Json(setting.initial())},
         {"min", setting.is_text() ? Json() : Json(setting.min())},
         {"max", setting.is_text() ? Json() : Json(setting.max())},
         {"meaning", setting.meaning()}});
  }
  context.output().Rows("settings", rows,
                        {{"name"},
                         {"value", CellKind::kNumber},
                         {"default", CellKind::kNumber},
                         {"min", CellKind::kNumber},
                         {"max", CellKind::kNumber},
                         {"meaning"}},
                        "There is no setting.");
}

base::Status Get(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::GetSettingsRequest request;
  request.set_name(arguments.name);
  ASSIGN_OR_RETURN(const v1::GetSettingsResponse answer,
                   client->GetSettings(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().FromMemory(answer.coordinator_silence_ms());
  Show(context, answer);
  return {};
}

base::Status Set(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetSettingRequest request;
  request.set_name(arguments.name);
  request.set_text(arguments.value);
  ASSIGN_OR_RETURN(const v1::GetSettingsResponse answer,
                   client->SetSetting(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

Runner DefineGet(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("NAME", arguments->name, "one setting (default: all)");
  return [arguments](Context& context) { return Get(context, *arguments); };
}

Runner DefineSet(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("NAME", arguments->name, "the setting")->required();
  app.add_option("VALUE", arguments->value, "a number; of BackupSourcePolicy a list of sources")
      ->required();
  return [arguments](Context& context) { return Set(context, *arguments); };
}

}  // namespace

Group SettingsCommands() {
  return {"config",
          "Settings of the whole group, effective at once",
          {{.name = "get",
            .summary = "Show the group's settings",
            .example = "understudy config get",
            .define = DefineGet,
            .not_found_hint = "'understudy config get' lists them"},
           {.name = "set",
            .summary = "Change one of the group's settings, at once and without a restart",
            .example = "understudy config set QueryLogRangeTimeoutInMsec 120000",
            .define = DefineSet,
            .not_found_hint = "'understudy config get' lists them"}}};
}

}  // namespace understudy::cli
