// SPDX-License-Identifier: Apache-2.0
// diagnose network: what the path between servers is like, and what to change.
#include <fmt/format.h>

#include <optional>

#include "cli/groups.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/text_width.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr base::Duration kIdleDefault = std::chrono::seconds(30);
constexpr base::Duration kIdleMax = std::chrono::seconds(110);

struct Arguments {
  std::string from;
  std::string to;
  std::optional<base::Duration> idle;
  bool quick = false;
};

Json Milliseconds(int64_t microseconds) { return static_cast<double>(microseconds) / 1000; }

Json FindingsOf(const v1::NetworkPath& path) {
  Json findings = Json::array();
  for (const v1::NetworkFinding& finding : path.findings()) {
    findings.push_back(
        {{"problem", finding.problem()}, {"what", finding.what()}, {"remedy", finding.remedy()}});
  }
  return findings;
}

Json RowOf(const v1::NetworkPath& path) {
  const bool there = path.error().empty();
  const auto or_null = [there](Json value) { return there ? std::move(value) : Json(); };
  Json row = {{"from", path.from()},
              {"to", path.to()},
              {"address", path.address()},
              {"error", TextOrNull(path.error())},
              {"rtt_min_ms", or_null(Milliseconds(path.rtt_min_us()))},
              {"rtt_ms", or_null(Milliseconds(path.rtt_median_us()))},
              {"rtt_max_ms", or_null(Milliseconds(path.rtt_max_us()))},
              {"probes", path.probes()},
              {"lost", path.lost()},
              {"up", or_null(path.up_bytes_per_second())},
              {"down", or_null(path.down_bytes_per_second())},
              {"segments", path.segments()},
              {"retransmitted", path.retransmitted()},
              {"transfers", path.transfers()},
              {"aborted", path.aborted()},
              {"large_lost", path.large_lost()},
              {"mtu", path.mtu() == 0 ? Json() : Json(path.mtu())},
              {"clock_ms", or_null(path.clock_ms())},
              {"clock_error_ms", or_null(path.clock_error_ms())},
              {"idle_survived_ms", path.idle_survived_ms()},
              {"idle_died_ms", path.idle_died_ms() == 0 ? Json() : Json(path.idle_died_ms())},
              {"keepalive_ms", path.keepalive_ms()},
              {"kernel_keepalive_ms", path.kernel_keepalive_ms()}};
  row["findings"] = FindingsOf(path);
  return row;
}

std::string IdleText(const v1::NetworkPath& path) {
  if (path.idle_died_ms() > 0) {
    return fmt::format("die after {}",
                       FormatDuration(std::chrono::milliseconds(path.idle_died_ms())));
  }
  if (path.idle_survived_ms() == 0) return "-";
  return fmt::format("live {}", FormatDuration(std::chrono::milliseconds(path.idle_survived_ms())));
}

std::string Render(const std::vector<v1::NetworkPath>& paths, const TableStyle& style) {
  Json rows = Json::array();
  std::string findings;
  for (const v1::NetworkPath& path : paths) {
    Json row = RowOf(path);
    row["lost"] = fmt::format("{} of {}", path.lost(), path.probes());
    row["idle_connections"] = IdleText(path);
    row["clock"] = path.error().empty()
                       ? Json(fmt::format("{:+} ± {} ms", path.clock_ms(), path.clock_error_ms()))
                       : Json();
    rows.push_back(std::move(row));
    for (const v1::NetworkFinding& finding : path.findings()) {
      findings += fmt::format("\n{} to {}: {}\n  {}\n", path.from(), path.to(),
                              Printable(finding.what()), Printable(finding.remedy()));
    }
  }
  const std::string table = RenderTable(rows,
                                        {{"from"},
                                         {"to"},
                                         {"rtt_ms", CellKind::kDuration},
                                         {"rtt_max_ms", CellKind::kDuration},
                                         {"lost"},
                                         {"up", CellKind::kRate},
                                         {"down", CellKind::kRate},
                                         {"mtu", CellKind::kNumber},
                                         {"clock"},
                                         {"idle_connections"}},
                                        style);
  return table + (findings.empty() ? "\nnothing to change was found\n" : findings);
}

base::Status Diagnose(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::DiagnoseNetworkRequest request;
  request.set_from(arguments.from);
  request.set_to(arguments.to);
  if (!arguments.quick) {
    request.set_idle_max_ms(std::min(arguments.idle.value_or(kIdleDefault), kIdleMax) /
                            std::chrono::milliseconds(1));
  }
  std::vector<v1::NetworkPath> paths;
  RETURN_IF_ERROR(client->DiagnoseNetwork(request, [&](const v1::DiagnoseNetworkResponse& answer) {
    if (answer.has_progress()) context.output().Note(answer.progress().phase() + "\n");
    if (answer.has_path()) paths.push_back(answer.path());
    return true;
  }));
  Json rows = Json::array();
  size_t problems = 0;
  for (const v1::NetworkPath& path : paths) {
    rows.push_back(RowOf(path));
    for (const v1::NetworkFinding& finding : path.findings()) problems += finding.problem() ? 1 : 0;
  }
  context.output().Document(Json{{"paths", std::move(rows)}},
                            Render(paths, context.output().style()));
  if (problems == 0) return {};
  return base::Unavailable(fmt::format("{} problem{} found\nwhat to change is said with each",
                                       problems, problems == 1 ? "" : "s"));
}

Runner DefineNetwork(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("FROM", arguments->from,
                 "the server that measures (default: the one that is asked)")
      ->check(ServerName());
  app.add_option("TO", arguments->to, "the server at the other end (default: all others)")
      ->check(ServerName());
  AddDuration(app, "--idle", arguments->idle,
              "leave connections idle for so long at most, to find out when they die (default 30s, "
              "at most 110s; it takes up to twice as long)");
  app.add_flag("--quick", arguments->quick, "leave no connection idle: it is over in seconds");
  return [arguments](Context& context) { return Diagnose(context, *arguments); };
}

}  // namespace

Group DiagnoseCommands() {
  return {"diagnose",
          "Measure what is around the servers, and say what to change",
          {{.name = "network",
            .summary = "Measure the paths between servers: delay, loss, rate, idle limits, clocks",
            .example = "understudy diagnose network\n"
                       "understudy diagnose network s1 s3 --idle 110s",
            .define = DefineNetwork,
            .not_found_hint = "'understudy server list' shows the servers"}}};
}

}  // namespace understudy::cli
