// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>
#include <vector>

#include <toml++/toml.h>

#include "base/ids.h"
#include "cluster/records.h"
#include "server/coordinator_keys.h"
#include "ship/messages.h"
#include "tls/certificate_authority.h"
#include "tls/tls_directory.h"

namespace understudy::server {
namespace {

using base::InvalidArgument;
using base::Status;

constexpr size_t kHookWordsMax = 64;

// How many letters must change to make one word of the other (for the nearest key).
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  const auto nearest = std::min_element(
      known.begin(), known.end(),
      [&](const auto& a, const auto& b) { return Distance(word, a) < Distance(word, b); });
  return nearest == known.end() ? "" : *nearest;
}

Status SetText(const toml::node& node, std::string& out) {
  const auto value = node.value_exact<std::string>();
  if (!value) return InvalidArgument("must be a text in quotes");
  out = *value;
  return {};
}

Status SetBool(const toml::node& node, bool& out) {
  const auto value = node.value_exact<bool>();
  if (!value) return InvalidArgument("must be true or false");
  out = *value;
  return {};
}

struct SizeRange {
  uint64_t min;
  uint64_t max;
};
Status SetSize(const toml::node& node, SizeRange range, uint64_t& out) {
  uint64_t bytes = 0;
  if (const auto number = node.value_exact<int64_t>(); number && *number >= 0) {
    bytes = static_cast<uint64_t>(*number);
  } else if (const auto text = node.value_exact<std::string>(); text) {
    ASSIGN_OR_RETURN(bytes, ParseSize(*text));
  } else {
    return InvalidArgument("must be a number of bytes or a size such as \"256MiB\"");
  }
  if (bytes < range.min || bytes > range.max) {
    return InvalidArgument(
        fmt::format("is {} bytes, allowed are {} to {}", bytes, range.min, range.max));
  }
  out = bytes;
  return {};
}

Status SetNumber(const toml::node& node, SizeRange range, uint64_t& out) {
  const auto number = node.value_exact<int64_t>();
  if (!number || *number < 0 || static_cast<uint64_t>(*number) < range.min ||
      static_cast<uint64_t>(*number) > range.max) {
    return InvalidArgument(fmt::format("must be a number from {} to {}", range.min, range.max));
  }
  out = static_cast<uint64_t>(*number);
  return {};
}

struct TimeRange {
  base::Duration min;
  base::Duration max;
};
Status SetTime(const toml::node& node, TimeRange range, base::Duration& out) {
  const auto text = node.value_exact<std::string>();
  if (!text) return InvalidArgument("must be a time in quotes such as \"2s\"");
  ASSIGN_OR_RETURN(const base::Duration time, ParseDuration(*text));
  if (time < range.min || time > range.max) {
    return InvalidArgument(
        fmt::format("is {}, allowed are {} ms to {} ms", *text,
                    std::chrono::duration_cast<std::chrono::milliseconds>(range.min).count(),
                    std::chrono::duration_cast<std::chrono::milliseconds>(range.max).count()));
  }
  out = time;
  return {};
}

template <typename T>
Status SetOneOf(const toml::node& node, const std::vector<std::pair<std::string_view, T>>& choices,
                T& out) {
  std::string text;
  RETURN_IF_ERROR(SetText(node, text));
  std::string allowed;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].first == text) {
      out = choices[i].second;
      return {};
    }
    if (i > 0) allowed += i + 1 == choices.size() ? " and " : ", ";
    allowed += choices[i].first;
  }
  return InvalidArgument(fmt::format("is \"{}\", allowed are {}", text, allowed));
}

Status SetProvider(const toml::node& node, ProviderChoice& out) {
  return SetOneOf<ProviderChoice>(node,
                                  {{"auto", ProviderChoice::kAuto},
                                   {"snapshot-read", ProviderChoice::kSnapshotRead},
                                   {"reflink", ProviderChoice::kReflink}},
                                  out);
}

Status SetLevel(const toml::node& node, base::DiagLevel& out) {
  using base::DiagLevel;
  return SetOneOf<DiagLevel>(node,
                             {{"debug", DiagLevel::kDebug},
                              {"info", DiagLevel::kInfo},
                              {"warning", DiagLevel::kWarning},
                              {"error", DiagLevel::kError}},
                             out);
}

// A program's path, or a list of its path and its arguments. No shell reads it.
Status SetCommand(const toml::node& node, std::vector<std::string>& out) {
  std::vector<std::string> words;
  if (const toml::array* const list = node.as_array()) {
    for (const toml::node& word : *list) {
      RETURN_IF_ERROR(SetText(word, words.emplace_back()));
    }
  } else {
    RETURN_IF_ERROR(SetText(node, words.emplace_back()));
  }
  if (words.size() > kHookWordsMax) {
    return InvalidArgument(
        fmt::format("has {} words, allowed are {}", words.size(), kHookWordsMax));
  }
  if (words.empty() || words[0].empty() || words[0][0] != '/') {
    return InvalidArgument(
        "must be an absolute path of a program, or a list of that and its arguments");
  }
  out = std::move(words);
  return {};
}

// Every key, as "section.key", and what sets it.
using Setter = std::function<Status(const toml::node&, Config&)>;

Setter CoordinatorText(std::string CoordinatorConfig::* member) {
  return [member](const toml::node& node, Config& config) {
    return SetText(node, config.coordinator.*member);
  };
}

Setter HookSetter(std::vector<std::string> Config::Hooks::* member) {
  return [member](const toml::node& node, Config& config) {
    return SetCommand(node, config.hooks.*member);
  };
}

// What sends applications to the mounted copy, added to the rest.
std::map<std::string, Setter> WithRoutingSetters(std::map<std::string, Setter> setters) {
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using Node = toml::node;
  setters.merge(std::map<std::string, Setter>{
      {"web.listen", [](const Node& n, Config& c) { return SetText(n, c.web.listen); }},
      {"web.advertise", [](const Node& n, Config& c) { return SetText(n, c.web.advertise); }},
      {"hooks.pre_mount", HookSetter(&Config::Hooks::pre_mount)},
      {"hooks.post_mount", HookSetter(&Config::Hooks::post_mount)},
      {"hooks.pre_dismount", HookSetter(&Config::Hooks::pre_dismount)},
      {"hooks.post_dismount", HookSetter(&Config::Hooks::post_dismount)},
      {"hooks.timeout",
       [](const Node& n, Config& c) {
         return SetTime(n, {milliseconds(100), minutes(10)}, c.hooks.timeout);
       }},
  });
  return setters;
}

std::map<std::string, Setter> WithLagSetters(std::map<std::string, Setter> setters) {
  using std::chrono::hours;
  using std::chrono::seconds;
  using Node = toml::node;
  setters.merge(std::map<std::string, Setter>{
      {"lag.playdown_free_percent",
       [](const Node& n, Config& c) {
         return SetNumber(n, {0, 100}, c.lag.playdown_free_percent);
       }},
      {"lag.playdown_free_bytes",
       [](const Node& n, Config& c) {
         return SetSize(n, {0, 1ull << 50}, c.lag.playdown_free_bytes);
       }},
      {"lag.playdown_copies_min",
       [](const Node& n, Config& c) {
         return SetNumber(n, {0, cluster::kCopiesMax}, c.lag.playdown_copies_min);
       }},
      {"lag.playdown_copies_after",
       [](const Node& n, Config& c) {
         return SetTime(n, {seconds(1), hours(24 * 14)}, c.lag.playdown_copies_after);
       }},
  });
  return setters;
}

// What a server does beside its work, added to the rest.
std::map<std::string, Setter> WithUpkeepSetters(std::map<std::string, Setter> setters) {
  using Node = toml::node;
  setters.merge(std::map<std::string, Setter>{
      {"scrub.rate",
       [](const Node& n, Config& c) { return SetSize(n, {0, 1ull << 40}, c.scrub.rate); }},
      {"seed.bandwidth",
       [](const Node& n, Config& c) { return SetSize(n, {0, 1ull << 40}, c.seed.bandwidth); }},
      {"seed.parallel",
       [](const Node& n, Config& c) -> Status {
         const auto number = n.value_exact<int64_t>();
         if (!number || *number < 1 || *number > 64) {
           return InvalidArgument("must be a number from 1 to 64");
         }
         c.seed.parallel = static_cast<uint32_t>(*number);
         return {};
       }},
      {"scrub.every",
       [](const Node& n, Config& c) {
         return SetTime(n, {base::Duration(0), std::chrono::hours(24 * 366)}, c.scrub.every);
       }},
  });
  return setters;
}

std::map<std::string, Setter> WithTlsSetters(std::map<std::string, Setter> setters) {
  using Node = toml::node;
  setters.merge(std::map<std::string, Setter>{
      {"tls.off", [](const Node& n, Config& c) { return SetBool(n, c.tls.off); }},
      {"tls.directory", [](const Node& n, Config& c) { return SetText(n, c.tls.directory); }},
      {"tls.join_listen", [](const Node& n, Config& c) { return SetText(n, c.tls.join_listen); }},
      {"tls.lifetime",
       [](const Node& n, Config& c) {
         return SetTime(n, {tls::kCertificateLifetimeMin, tls::kCertificateLifetimeMax},
                        c.tls.lifetime);
       }},
      {"coordinator.managed.tls",
       [](const Node& n, Config& c) { return SetBool(n, c.coordinator.managed.tls); }},
      {"coordinator.managed.join",
       [](const Node& n, Config& c) { return SetBool(n, c.coordinator.managed.join); }},
  });
  return setters;
}

std::map<std::string, Setter> WithBackupSetters(std::map<std::string, Setter> setters) {
  using Node = toml::node;
  setters.insert({{"backup.repository",
                   [](const Node& n, Config& c) { return SetText(n, c.backup.repository); }},
                  {"backup.provider",
                   [](const Node& n, Config& c) { return SetProvider(n, c.backup.provider); }}});
  return setters;
}

std::map<std::string, Setter> AllSetters(std::map<std::string, Setter> setters) {
  return WithUpkeepSetters(
      WithTlsSetters(WithLagSetters(WithBackupSetters(WithRoutingSetters(std::move(setters))))));
}

const std::map<std::string, Setter>& Setters() {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using std::chrono::seconds;
  using Node = toml::node;
  static const std::map<std::string, Setter> kSetters = AllSetters({
      {"server.name", [](const Node& n, Config& c) { return SetText(n, c.server.name); }},
      {"server.data_dir", [](const Node& n, Config& c) { return SetText(n, c.server.data_dir); }},
      {"server.listen", [](const Node& n, Config& c) { return SetText(n, c.server.listen); }},
      {"server.advertise", [](const Node& n, Config& c) { return SetText(n, c.server.advertise); }},
      {"coordinator.kind", CoordinatorText(&CoordinatorConfig::kind)},
      {"coordinator.path", CoordinatorText(&CoordinatorConfig::path)},
      {"coordinator.lease",
       [](const Node& n, Config& c) {
         return SetTime(n, {seconds(1), minutes(10)}, c.coordinator.lease);
       }},
      {"coordinator.group", CoordinatorText(&CoordinatorConfig::group)},
      {"coordinator.endpoints",
       [](const Node& n, Config& c) { return SetEndpoints(n, c.coordinator.endpoints); }},
      {"coordinator.user", CoordinatorText(&CoordinatorConfig::user)},
      {"coordinator.password_file", CoordinatorText(&CoordinatorConfig::password_file)},
      {"coordinator.ca_file", CoordinatorText(&CoordinatorConfig::ca_file)},
      {"coordinator.cert_file", CoordinatorText(&CoordinatorConfig::cert_file)},
      {"coordinator.key_file", CoordinatorText(&CoordinatorConfig::key_file)},
      {"coordinator.etcd", CoordinatorText(&CoordinatorConfig::etcd)},
      {"coordinator.managed.name",
       [](const Node& n, Config& c) { return SetText(n, c.coordinator.managed.name); }},
      {"coordinator.managed.client_listen",
       [](const Node& n, Config& c) { return SetAddress(n, c.coordinator.managed.client_listen); }},
      {"coordinator.managed.peer_listen",
       [](const Node& n, Config& c) { return SetAddress(n, c.coordinator.managed.peer_listen); }},
      {"coordinator.managed.initial_cluster",
       [](const Node& n, Config& c) {
         return SetInitialCluster(n, c.coordinator.managed.initial_cluster);
       }},
      {"log.generation_bytes",
       [](const Node& n, Config& c) {
         return SetSize(n, {64 << 10, 64 << 20}, c.log.generation_bytes);
       }},
      {"log.keep_bytes",
       [](const Node& n, Config& c) {
         return SetSize(n, {1 << 20, 1ull << 50}, c.log.keep_bytes);
       }},
      {"ship.window_bytes",
       [](const Node& n, Config& c) {
         return SetSize(n, {ship::kWindowBytesMin, ship::kWindowBytesMax}, c.ship.window_bytes);
       }},
      {"ship.heartbeat",
       [](const Node& n, Config& c) {
         return SetTime(n, {milliseconds(100), minutes(1)}, c.ship.heartbeat);
       }},
      {"ship.silence_max",
       [](const Node& n, Config& c) {
         return SetTime(n, {milliseconds(300), minutes(10)}, c.ship.silence_max);
       }},
      {"ship.retry_max",
       [](const Node& n, Config& c) {
         return SetTime(n, {milliseconds(100), hours(1)}, c.ship.retry_max);
       }},
      {"lost.database_bytes_max",
       [](const Node& n, Config& c) {
         return SetSize(n, {0, 1ull << 50}, c.lost.database_bytes_max);
       }},
      {"diag.level", [](const Node& n, Config& c) { return SetLevel(n, c.diag.level); }},
  });
  return kSetters;
}

Status UnknownKey(const std::string& key) {
  std::vector<std::string> known;
  for (const auto& [name, setter] : Setters()) known.push_back(name);
  known.emplace_back("peers");
  return InvalidArgument(
      fmt::format("there is no key {}\nthe nearest is {}; docs/reference/config.md lists all", key,
                  Nearest(key, known)));
}

// "server.toml:7: message", with the hint kept on its own line.
Status At(const std::string& path, const toml::node& node, const Status& status) {
  return status.WithContext(fmt::format("{}:{}", path, node.source().begin.line));
}

Status ReadPeers(const toml::table& section, Config& config) {
  for (const auto& [key, node] : section) {
    const std::string name(key.str());
    std::string address;
    Status status = base::CheckName("server name", name);
    if (status.ok()) status = SetText(node, address).WithContext("peers." + name);
    if (!status.ok()) return At(config.path, node, status);
    config.peers[name] = address;
  }
  return {};
}

// Whether keys begin with "section.".
bool HasKeys(const std::string& section) {
  const auto first = Setters().lower_bound(section + ".");
  return first != Setters().end() &&
         first->first.compare(0, section.size() + 1, section + ".") == 0;
}

Status ReadSection(const std::string& name, const toml::table& section, Config& config) {
  if (name == "peers") return ReadPeers(section, config);
  for (const auto& [key, node] : section) {
    const std::string full = name + "." + std::string(key.str());
    const auto setter = Setters().find(full);
    if (const toml::table* const part = node.as_table(); part != nullptr && HasKeys(full)) {
      RETURN_IF_ERROR(ReadSection(full, *part, config));
      continue;
    }
    if (setter == Setters().end()) return At(config.path, node, UnknownKey(full));
    const Status status = setter->second(node, config);
    if (!status.ok()) return At(config.path, node, status.WithContext(full));
  }
  return {};
}

// Debian's toml++ throws; nothing of it leaves this function.
base::Result<toml::table> Parse(std::string_view text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    return InvalidArgument(
        fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
}

// "192.0.2.1:7400" -> "192.0.2.1:7401"; port 0 and a unix socket stay as they are.
void FillTls(Config& config) {
  if (config.tls.directory.empty()) {
    config.tls.directory = tls::TlsDirectory::Below(config.server.data_dir).path;
  }
  if (!config.tls.join_listen.empty()) return;
  config.tls.join_listen = config.server.listen;
  const size_t colon = config.server.listen.rfind(':');
  uint16_t port = 0;
  const char* const end = config.server.listen.data() + config.server.listen.size();
  if (colon == std::string::npos) return;
  const auto parsed = std::from_chars(config.server.listen.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || port == 0 || port == UINT16_MAX) return;
  config.tls.join_listen = fmt::format("{}:{}", config.server.listen.substr(0, colon), port + 1);
}

Status CheckWhole(Config& config) {
  RETURN_IF_ERROR(base::CheckName("server.name", config.server.name));
  const std::pair<const char*, const std::string*> needed[] = {
      {"server.data_dir", &config.server.data_dir}, {"server.listen", &config.server.listen}};
  for (const auto& [key, value] : needed) {
    if (value->empty()) return InvalidArgument(fmt::format("{} must be set", key));
  }
  RETURN_IF_ERROR(CheckCoordinator(config.coordinator, config.server.name));
  if (config.ship.silence_max <= config.ship.heartbeat) {
    return InvalidArgument("ship.silence_max must be longer than ship.heartbeat");
  }
  FillTls(config);
  if (config.server.advertise.empty()) config.server.advertise = config.server.listen;
  if (config.web.advertise.empty()) config.web.advertise = config.web.listen;
  return {};
}

}  // namespace

base::Result<Config> ParseConfig(std::string_view text, const std::string& path) {
  ASSIGN_OR_RETURN(const toml::table document, Parse(text, path));
  Config config;
  config.path = path;
  for (const auto& [key, node] : document) {
    const std::string name(key.str());
    const toml::table* const section = node.as_table();
    if (section == nullptr) return At(path, node, UnknownKey(name));
    RETURN_IF_ERROR(ReadSection(name, *section, config));
  }
  const Status whole = CheckWhole(config);
  if (!whole.ok()) return whole.WithContext(path);
  return config;
}

base::Result<Config> ReadConfig(env::Env& env, const std::string& path) {
  base::Result<base::Bytes> bytes = env::ReadFile(env, path, kConfigBytesMax);
  if (!bytes.ok()) return bytes.status().WithContext("configuration");
  return ParseConfig({reinterpret_cast<const char*>(bytes->data()), bytes->size()}, path);
}

}  // namespace understudy::server
