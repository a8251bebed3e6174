// SPDX-License-Identifier: Apache-2.0
#include "store/location.h"

#include <fmt/format.h>

#include <cstdlib>

#include "store/directory_store.h"
#include "store/s3_store.h"

namespace understudy::store {
namespace {

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

base::Status SetParameter(std::string_view name, std::string_view value, S3Options& options) {
  if (name == "endpoint") {
    options.endpoint = value;
  } else if (name == "region") {
    options.region = value;
  } else if (name == "ca") {
    options.ca_file = value;
  } else if (name == "credentials") {
    options.credentials_file = value;
  } else if (name == "path-style" && (value == "yes" || value == "no")) {
    options.path_style = value == "yes";
  } else {
    return base::InvalidArgument(fmt::format(
        "a bucket's location has no \"{}={}\"\nit may have endpoint, region, path-style=yes, "
        "ca and credentials",
        name, value));
  }
  return {};
}

void SetDefaults(S3Options& options) {
  options.endpoint = FromEnvironment("UNDERSTUDY_S3_ENDPOINT");
  if (const std::string region = FromEnvironment("UNDERSTUDY_S3_REGION"); !region.empty()) {
    options.region = region;
  }
  options.path_style = FromEnvironment("UNDERSTUDY_S3_PATH_STYLE") == "yes";
  options.ca_file = FromEnvironment("UNDERSTUDY_S3_CA");
  options.credentials_file = FromEnvironment("UNDERSTUDY_S3_CREDENTIALS");
}

}  // namespace

bool IsBucket(std::string_view location) { return location.starts_with(kS3Scheme); }

base::Result<S3Options> S3OptionsFrom(std::string_view location) {
  S3Options options;
  SetDefaults(options);
  std::string_view rest = location.substr(kS3Scheme.size());
  std::string_view parameters;
  if (const size_t question = rest.find('?'); question != std::string_view::npos) {
    parameters = rest.substr(question + 1);
    rest = rest.substr(0, question);
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  options.bucket = rest.substr(0, slash);
  options.prefix = slash < rest.size() ? rest.substr(slash + 1) : std::string_view();
  while (!parameters.empty()) {
    const size_t end = std::min(parameters.find('&'), parameters.size());
    const std::string_view each = parameters.substr(0, end);
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
    const size_t equals = std::min(each.find('='), each.size());
    RETURN_IF_ERROR(SetParameter(each.substr(0, equals),
                                 equals < each.size() ? each.substr(equals + 1) : "", options));
  }
  if (options.endpoint.empty()) {
    return base::InvalidArgument(
        fmt::format("it is not said where {} is\nadd ?endpoint=https://HOST, or set "
                    "UNDERSTUDY_S3_ENDPOINT",
                    options.Name()));
  }
  RETURN_IF_ERROR(CheckS3Options(options));
  return options;
}

base::Result<std::unique_ptr<ObjectStore>> OpenStore(env::Env& env, const std::string& location,
                                                     bool make) {
  if (!IsBucket(location)) {
    if (!make) RETURN_IF_ERROR(env.Stat(location).status());
    ASSIGN_OR_RETURN(auto store, DirectoryStore::Open(env, location));
    return std::unique_ptr<ObjectStore>(std::move(store));
  }
  ASSIGN_OR_RETURN(const S3Options options, S3OptionsFrom(location));
  ASSIGN_OR_RETURN(auto store, S3Store::Open(env, options));
  return std::unique_ptr<ObjectStore>(std::move(store));
}

}  // namespace understudy::store
