// SPDX-License-Identifier: Apache-2.0
#include "store/location.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "store/directory_store.h"
#include "store/encrypted_store.h"
#include "store/limited_store.h"
#include "store/s3_store.h"

namespace understudy::store {
namespace {

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

constexpr std::pair<std::string_view, uint64_t> kUnits[] = {
    {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}};
constexpr uint64_t kRateMax = uint64_t{1} << 40;
constexpr std::chrono::seconds kPatienceMax{3600};

// "20MiB"; 0: it is no rate.
uint64_t RateFrom(std::string_view text) {
  for (const auto& [unit, bytes] : kUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool right = error == std::errc() && end == text.data() + text.size();
    return right && number <= kRateMax / bytes ? number * bytes : 0;
  }
  return 0;
}

// "90s", "10m"; 0: it is none that is allowed.
std::chrono::seconds PatienceFrom(std::string_view text) {
  if (!text.ends_with('s') && !text.ends_with('m')) return {};
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size() - 1, number);
  if (error != std::errc() || end != text.data() + text.size() - 1) return {};
  if (number < 1 || number > kPatienceMax.count()) return {};
  const std::chrono::seconds patience(text.ends_with('m') ? number * 60 : number);
  return patience <= kPatienceMax ? patience : std::chrono::seconds(0);
}

bool SetForBucket(std::string_view name, std::string_view value, S3Options& options) {
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
  } else if (name == "patience" && PatienceFrom(value).count() > 0) {
    options.patience = PatienceFrom(value);
  } else {
    return false;
  }
  return true;
}

base::Status SetParameter(std::string_view name, std::string_view value, Location& location) {
  if (name == "rate" && RateFrom(value) > 0) {
    location.rate = RateFrom(value);
    return {};
  }
  if (name == "key" && value.starts_with('/')) {
    location.key_file = value;
    return {};
  }
  if (location.bucket && SetForBucket(name, value, *location.bucket)) return {};
  return base::InvalidArgument(fmt::format(
      "a {}'s location has no \"{}={}\"\nit may have {}key=/PATH and rate=20MiB",
      location.bucket ? "bucket" : "directory", name, value,
      location.bucket ? "endpoint, region, path-style=yes, ca, credentials, patience=10m, " : ""));
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

base::Status SetDefaultKey(Location& location) {
  if (!location.key_file.empty()) return {};
  location.key_file = FromEnvironment("UNDERSTUDY_REPOSITORY_KEY");
  if (location.key_file.empty() || location.key_file.starts_with('/')) return {};
  return base::InvalidArgument(
      fmt::format("UNDERSTUDY_REPOSITORY_KEY is {}\nset it to the absolute path of a key file",
                  location.key_file));
}

void SetPlace(std::string_view place, Location& location) {
  if (!IsBucket(place)) {
    location.directory = place;
    return;
  }
  S3Options& options = location.bucket.emplace();
  SetDefaults(options);
  place.remove_prefix(kS3Scheme.size());
  const size_t slash = std::min(place.find('/'), place.size());
  options.bucket = place.substr(0, slash);
  options.prefix = slash < place.size() ? place.substr(slash + 1) : std::string_view();
}

base::Status CheckBucket(const S3Options& options) {
  if (!options.endpoint.empty()) return CheckS3Options(options);
  return base::InvalidArgument(
      fmt::format("it is not said where {} is\nadd ?endpoint=https://HOST, or set "
                  "UNDERSTUDY_S3_ENDPOINT",
                  options.Name()));
}

base::Result<std::unique_ptr<ObjectStore>> OpenPlace(env::Env& env, const Location& location,
                                                     bool make) {
  if (location.bucket) {
    ASSIGN_OR_RETURN(auto store, S3Store::Open(env, *location.bucket));
    return std::unique_ptr<ObjectStore>(std::move(store));
  }
  if (!make) RETURN_IF_ERROR(env.Stat(location.directory).status());
  ASSIGN_OR_RETURN(auto store, DirectoryStore::Open(env, location.directory));
  return std::unique_ptr<ObjectStore>(std::move(store));
}

// Others must not be able to read it. (Env knows no permissions.)
base::Status CheckPrivate(const std::string& key_file) {
  using std::filesystem::perms;
  std::error_code error;
  const auto status = std::filesystem::status(key_file, error);
  if (error || !std::filesystem::exists(status)) return {};  // reading it says so
  if ((status.permissions() & (perms::group_all | perms::others_all)) == perms::none) return {};
  return base::InvalidArgument(
      fmt::format("others can read the key file {0}\nchmod 600 {0}", key_file));
}

}  // namespace

bool IsBucket(std::string_view location) { return location.starts_with(kS3Scheme); }

base::Result<Location> ParseLocation(std::string_view text) {
  std::string_view parameters;
  if (const size_t question = text.find('?'); question != std::string_view::npos) {
    parameters = text.substr(question + 1);
    text = text.substr(0, question);
  }
  Location location;
  SetPlace(text, location);
  while (!parameters.empty()) {
    const size_t end = std::min(parameters.find('&'), parameters.size());
    const std::string_view each = parameters.substr(0, end);
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
    const size_t equals = std::min(each.find('='), each.size());
    RETURN_IF_ERROR(SetParameter(each.substr(0, equals),
                                 equals < each.size() ? each.substr(equals + 1) : "", location));
  }
  RETURN_IF_ERROR(SetDefaultKey(location));
  if (location.bucket) RETURN_IF_ERROR(CheckBucket(*location.bucket));
  return location;
}

base::Result<std::unique_ptr<ObjectStore>> OpenStore(env::Env& env, const std::string& text,
                                                     bool make) {
  ASSIGN_OR_RETURN(const Location location, ParseLocation(text));
  std::optional<RepositoryKeys> keys;
  if (!location.key_file.empty()) {
    RETURN_IF_ERROR(CheckPrivate(location.key_file));
    ASSIGN_OR_RETURN(keys, RepositoryKeys::Load(env, location.key_file));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> store, OpenPlace(env, location, make));
  if (location.rate > 0) {
    store = std::make_unique<LimitedStore>(env, std::move(store), location.rate);
  }
  if (keys) store = std::make_unique<EncryptedStore>(env, std::move(store), std::move(*keys));
  return store;
}

}  // namespace understudy::store
