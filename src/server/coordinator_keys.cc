// SPDX-License-Identifier: Apache-2.0
#include "server/coordinator_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/ids.h"
#include "server/coordinator_config.h"

namespace understudy::server {
namespace {

using base::InvalidArgument;
using base::Status;

Status AddMember(std::string_view name, std::string_view url,
                 std::map<std::string, std::string>& out) {
  RETURN_IF_ERROR(base::CheckName("member name", name));
  constexpr std::string_view kHttp = "http://";
  if (url.substr(0, kHttp.size()) == kHttp) url.remove_prefix(kHttp.size());
  RETURN_IF_ERROR(CheckAddress(url).WithContext(name));
  if (!out.emplace(name, url).second) {
    return InvalidArgument(fmt::format("names {} twice", name));
  }
  if (out.size() > CoordinatorConfig::kEndpointsMax) {
    return InvalidArgument(
        fmt::format("has more than {} members", CoordinatorConfig::kEndpointsMax));
  }
  return {};
}

}  // namespace

Status SetAddress(const toml::node& node, std::string& out) {
  const auto value = node.value_exact<std::string>();
  if (!value) return InvalidArgument("must be a text such as \"127.0.0.1:2379\"");
  RETURN_IF_ERROR(CheckAddress(*value));
  out = *value;
  return {};
}

Status SetEndpoints(const toml::node& node, std::vector<std::string>& out) {
  const toml::array* const list = node.as_array();
  if (list == nullptr || list->empty()) {
    return InvalidArgument("must be a list such as [\"127.0.0.1:2379\"]");
  }
  if (list->size() > CoordinatorConfig::kEndpointsMax) {
    return InvalidArgument(fmt::format("has {} endpoints, allowed are {}", list->size(),
                                       CoordinatorConfig::kEndpointsMax));
  }
  out.clear();
  for (const toml::node& each : *list) {
    std::string address;
    RETURN_IF_ERROR(SetAddress(each, address));
    if (std::find(out.begin(), out.end(), address) != out.end()) {
      return InvalidArgument(fmt::format("names {} twice", address));
    }
    out.push_back(std::move(address));
  }
  return {};
}

Status SetInitialCluster(const toml::node& node, std::map<std::string, std::string>& out) {
  out.clear();
  if (const toml::table* const table = node.as_table(); table != nullptr && !table->empty()) {
    for (const auto& [key, value] : *table) {
      const auto url = value.value_exact<std::string>();
      if (!url) return InvalidArgument("must have a text for every member");
      RETURN_IF_ERROR(AddMember(key.str(), *url, out));
    }
    return {};
  }
  const toml::array* const list = node.as_array();
  if (list == nullptr || list->empty()) {
    return InvalidArgument("must be a table such as {s1 = \"192.0.2.1:2380\"}");
  }
  for (const toml::node& each : *list) {
    const auto text = each.value_exact<std::string>();
    const size_t equals = text ? text->find('=') : std::string::npos;
    if (equals == std::string::npos) {
      return InvalidArgument("must have entries such as \"s1=192.0.2.1:2380\"");
    }
    RETURN_IF_ERROR(AddMember(std::string_view(*text).substr(0, equals),
                              std::string_view(*text).substr(equals + 1), out));
  }
  return {};
}

}  // namespace understudy::server
