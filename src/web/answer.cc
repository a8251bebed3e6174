// SPDX-License-Identifier: Apache-2.0
#include "web/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "web/dashboard.h"
#include "web/lag.h"
#include "web/metrics.h"
#include "web/state_stream.h"
#include "web/status_json.h"

namespace understudy::web {
namespace {

// What a copy that takes reads may be behind by default, for /readiness.
constexpr base::Duration kReadyLagDefault = std::chrono::seconds(10);

// Of a name in a question: no database has a longer one.
constexpr size_t kDatabaseNameMax = 256;

// A "no" has its sentence, a "yes" has none.
using Verdict = std::string;

struct Asked {
  const Snapshot& snapshot;
  std::string database;
  const LocalCopy* copy;  // null: no copy of it on this server
  std::optional<Lag> lag;
  LagOf lag_of = LagOf::kReplayed;
};

Verdict NoCopy(const Asked& asked) {
  return fmt::format("there is no copy of {} on {}", asked.database, asked.snapshot.server);
}

Verdict Is(const Asked& asked, std::string_view what) {
  return fmt::format("the copy of {} on {} {}", asked.database, asked.snapshot.server, what);
}

Verdict Primary(const Asked& asked) {
  if (asked.copy == nullptr) return NoCopy(asked);
  if (!asked.copy->active) return Is(asked, "is passive");
  if (asked.copy->writable) return "";
  if (asked.copy->state != "Mounted") return Is(asked, "is not mounted: " + asked.copy->state);
  return Is(asked, "is mounted, but this server's lease cannot be relied on at this moment");
}

Verdict Replica(const Asked& asked) {
  if (asked.copy == nullptr) return NoCopy(asked);
  if (asked.copy->active) return Is(asked, "is the active one");
  if (asked.copy->suspended) return Is(asked, "is suspended");
  if (!asked.copy->readable) return Is(asked, "cannot be read: " + asked.copy->state);
  // Readers want what is new; who takes old content says how old.
  if (!asked.lag && asked.lag_of == LagOf::kReplayed &&
      asked.copy->replay_lag > base::Duration(0)) {
    return Is(asked, "is a lagged one: it may be asked for with lag= only");
  }
  if (!asked.lag) return "";
  const std::string behind = BeyondLag(*asked.copy, asked.lag_of, *asked.lag);
  return behind.empty() ? "" : Is(asked, "is too far behind: " + behind);
}

Verdict ReadOnly(const Asked& asked) {
  return asked.copy != nullptr && asked.copy->active ? Primary(asked) : Replica(asked);
}

Verdict Health(const Asked& asked) {
  if (asked.copy == nullptr) return NoCopy(asked);
  if (asked.copy->state == "Mounted" || asked.copy->readable) return "";
  return Is(asked, "cannot be read: " + asked.copy->state);
}

Verdict Liveness(const Snapshot& snapshot) {
  if (snapshot.round_age <= kRoundAgeMax) return "";
  return fmt::format("the daemon has not looked at its group for {} s",
                     snapshot.round_age / std::chrono::seconds(1));
}

Verdict ServerHealth(const Snapshot& snapshot) {
  if (const Verdict live = Liveness(snapshot); !live.empty()) return live;
  for (const LocalCopy& copy : snapshot.copies) {
    const bool failed = copy.state.rfind("Failed", 0) == 0;
    if (failed || (copy.active && copy.state != "Mounted")) {
      return fmt::format("the copy of {} is {}", copy.database, copy.state);
    }
  }
  return "";
}

Verdict ServerReadiness(const Snapshot& snapshot) {
  if (!snapshot.coordinator_silence) return "the group's registry has not been read yet";
  if (*snapshot.coordinator_silence <= snapshot.lease) return "";
  return fmt::format("the coordinator has not answered for {} ms, longer than the lease of {} ms",
                     *snapshot.coordinator_silence / std::chrono::milliseconds(1),
                     snapshot.lease / std::chrono::milliseconds(1));
}

Verdict CopyLiveness(const Asked& asked) { return Liveness(asked.snapshot); }

Answer Say(const Verdict& no, Json body) {
  Json whole;
  whole["answer"] = no.empty() ? "yes" : "no";
  if (!no.empty()) whole["why"] = no;
  whole.update(body);
  return {no.empty() ? 200 : 503, ToText(whole)};
}

Answer Refuse(int code, const std::string& why) { return {code, ToText(Json{{"error", why}})}; }

struct CopyPath {
  std::string_view name;
  Verdict (*verdict)(const Asked&);
  bool lag = false;
  bool mode = false;
};
constexpr CopyPath kCopyPaths[] = {{"", Primary},
                                   {"primary", Primary},
                                   {"read-write", Primary},
                                   {"leader", Primary},
                                   {"master", Primary},
                                   {"replica", Replica, true},
                                   {"asynchronous", Replica, true},
                                   {"async", Replica, true},
                                   {"read-only", ReadOnly, true},
                                   {"health", Health},
                                   {"liveness", CopyLiveness},
                                   {"readiness", ReadOnly, true, true}};

// Empty when all of them are allowed and parse.
std::string ReadParameters(const Question& question, const CopyPath* path, Asked& asked) {
  for (const auto& [name, value] : question.parameters) {
    if (path != nullptr && path->lag && name == "lag") {
      const base::Result<Lag> lag = ParseLag(value);
      if (!lag.ok()) return lag.status().message();
      asked.lag = *lag;
    } else if (path != nullptr && path->mode && name == "mode") {
      if (value != "apply" && value != "write") return "mode is apply or write";
      asked.lag_of = value == "write" ? LagOf::kCopied : LagOf::kReplayed;
    } else {
      return fmt::format("{} has no parameter {}", question.path, name.substr(0, 40));
    }
  }
  if (path != nullptr && path->mode && !asked.lag) asked.lag = Lag{{}, kReadyLagDefault};
  return "";
}

Answer AnswerOfDatabase(const Question& question, const Snapshot& snapshot,
                        const std::vector<std::string>& words) {
  const std::string& name = words[1];
  const std::string what = words.size() > 2 ? words[2] : "";
  const auto* const record =
      snapshot.group == nullptr ? nullptr : snapshot.group->FindDatabase(name);
  Asked asked{snapshot, name, snapshot.FindCopy(name), {}};
  if (snapshot.group == nullptr && asked.copy == nullptr) {
    return Refuse(503, "the group's registry has not been read yet");
  }
  if (record == nullptr && asked.copy == nullptr) {
    return Refuse(404, fmt::format("there is no database {} in this group", name.substr(0, 64)));
  }
  const auto* const path = std::find_if(std::begin(kCopyPaths), std::end(kCopyPaths),
                                        [&](const CopyPath& known) { return known.name == what; });
  if (path != std::end(kCopyPaths)) {
    const std::string wrong = ReadParameters(question, path, asked);
    if (!wrong.empty()) return Refuse(400, wrong);
    return Say(path->verdict(asked), CopyJson(snapshot, name));
  }
  const bool known = what == "status" || what == "cluster" || what == "history";
  if (!known) return Refuse(404, fmt::format("there is no {}", question.path.substr(0, 100)));
  if (const std::string wrong = ReadParameters(question, nullptr, asked); !wrong.empty()) {
    return Refuse(400, wrong);
  }
  if (what == "status") return {200, ToText(CopyJson(snapshot, name))};
  if (what == "cluster") return {200, ToText(GroupJson(snapshot, name))};
  return {200, ToText(record == nullptr ? Json::array() : HistoryJson(*record))};
}

Answer AnswerOfServer(const Question& question, const Snapshot& snapshot, const std::string& what) {
  const bool known = what == "health" || what == "liveness" || what == "readiness" ||
                     what == "cluster" || what == "databases" || what == "metrics";
  if (!known) return Refuse(404, fmt::format("there is no {}", question.path.substr(0, 100)));
  Asked none{snapshot, "", nullptr, {}};
  if (const std::string wrong = ReadParameters(question, nullptr, none); !wrong.empty()) {
    return Refuse(400, wrong);
  }
  if (what == "health") return Say(ServerHealth(snapshot), ServerJson(snapshot));
  if (what == "liveness") return Say(Liveness(snapshot), ServerJson(snapshot));
  if (what == "readiness") return Say(ServerReadiness(snapshot), ServerJson(snapshot));
  if (what == "cluster") return {200, ToText(GroupJson(snapshot, ""))};
  if (what == "metrics") return {200, MetricsText(snapshot), kMetricsType};
  return {200, ToText(DatabasesJson(snapshot))};
}

Answer AnswerOfDashboard(const Question& question, const std::string& file) {
  const DashboardFile* const found = FindDashboardFile(file);
  if (found == nullptr) {
    return Refuse(404, fmt::format("there is no {}", question.path.substr(0, 100)));
  }
  return {200, std::string(found->content), DashboardFileType(file)};
}

Answer AnswerOfState(const Question& question, const Snapshot& snapshot) {
  Asked none{snapshot, "", nullptr, {}};
  if (const std::string wrong = ReadParameters(question, nullptr, none); !wrong.empty()) {
    return Refuse(400, wrong);
  }
  return {200, ToText(StateJson(snapshot))};
}

// The first answer of a stream; the HTTP server hands the connection over.
Answer AnswerOfStream(const Question& question, const Snapshot& snapshot) {
  Asked none{snapshot, "", nullptr, {}};
  if (const std::string wrong = ReadParameters(question, nullptr, none); !wrong.empty()) {
    return Refuse(400, wrong);
  }
  return {200, "", kEventStreamType};
}

Answer AnswerOfLag(const Question& question, const LagHistory* history) {
  const auto database = question.parameters.find("database");
  if (database == question.parameters.end() || question.parameters.size() != 1) {
    return Refuse(400, "name one database: /api/v1/history?database=NAME");
  }
  if (history == nullptr) return Refuse(404, "no history is kept here");
  return {200, ToText(history->Of(database->second.substr(0, kDatabaseNameMax)))};
}

// "/db/orders/" -> {"db", "orders"}
std::vector<std::string> Words(const std::string& path) {
  std::vector<std::string> words;
  std::string word;
  for (const char letter : path + "/") {
    if (letter != '/') {
      word += letter;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, ""));
    }
  }
  return words;
}

}  // namespace

Answer AnswerTo(const Question& question, const StatusSource& source, const LagHistory* history) {
  if (question.method != "GET" && question.method != "HEAD" && question.method != "OPTIONS") {
    return Refuse(405, fmt::format("{} is not one of {}", question.method, kAllowedMethods));
  }
  const std::vector<std::string> words = Words(question.path);
  Answer answer;
  if ((words.size() == 2 || words.size() == 3) && words[0] == "db") {
    answer = AnswerOfDatabase(question, source.Take(), words);
  } else if (words.empty()) {
    answer = AnswerOfDashboard(question, "index.html");
  } else if (words.size() == 2 && words[0] == "dashboard") {
    answer = AnswerOfDashboard(question, words[1]);
  } else if (words == std::vector<std::string>{"api", "v1", "state"}) {
    answer = AnswerOfState(question, source.Take());
  } else if (words == std::vector<std::string>{"api", "v1", "state", "stream"}) {
    answer = AnswerOfStream(question, source.Take());
  } else if (words == std::vector<std::string>{"api", "v1", "history"}) {
    answer = AnswerOfLag(question, history);
  } else if (words.size() == 1) {
    answer = AnswerOfServer(question, source.Take(), words[0]);
  } else {
    answer = Refuse(404, fmt::format("there is no {}", question.path.substr(0, 100)));
  }
  if (question.method == "OPTIONS") answer.body.clear();
  return answer;
}

}  // namespace understudy::web
