// SPDX-License-Identifier: Apache-2.0
#include "store/s3_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace understudy::store {
namespace {

constexpr uint64_t kCredentialsBytesMax = 64 << 10;
constexpr size_t kBucketNameMin = 3;
constexpr size_t kBucketNameMax = 63;
constexpr size_t kPrefixMax = 512;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

bool IsKeyChar(char c) {
  return IsPlain(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '/' || c == '~';
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// "127.0.0.1:9000" of "http://127.0.0.1:9000".
bool IsThisMachine(std::string_view host) {
  const std::string_view name = host.substr(0, host.rfind(':'));
  return name == "localhost" || name.starts_with("127.") || name == "[::1]";
}

}  // namespace

std::string S3Options::Name() const {
  return prefix.empty() ? "s3://" + bucket : fmt::format("s3://{}/{}", bucket, prefix);
}

base::Status CheckS3Options(const S3Options& options) {
  const auto wrong = [](std::string what) { return base::InvalidArgument(std::move(what)); };
  const std::string& bucket = options.bucket;
  if (bucket.size() < kBucketNameMin || bucket.size() > kBucketNameMax ||
      !std::all_of(bucket.begin(), bucket.end(), IsPlain) || bucket.find("..") != bucket.npos) {
    return wrong(fmt::format("\"{}\" is no name of a bucket: {} to {} of a-z, 0-9, - and .", bucket,
                             kBucketNameMin, kBucketNameMax));
  }
  const std::string& prefix = options.prefix;
  if (prefix.size() > kPrefixMax || !std::all_of(prefix.begin(), prefix.end(), IsKeyChar) ||
      prefix.starts_with('/') || prefix.ends_with('/') || prefix.find("//") != prefix.npos ||
      prefix.find("..") != prefix.npos) {
    return wrong(
        fmt::format("the prefix \"{}\" may have letters, digits, - . _ ~ and single "
                    "slashes within, {} at most",
                    prefix, kPrefixMax));
  }
  std::string_view host = options.endpoint;
  const bool secure = host.starts_with("https://");
  if (!secure && !host.starts_with("http://")) {
    return wrong(fmt::format("the endpoint \"{}\" must begin with https://", options.endpoint));
  }
  host.remove_prefix(secure ? 8 : 7);
  if (host.empty() || host.find_first_of("/?#@ \t\r\n\"") != host.npos) {
    return wrong(fmt::format("the endpoint \"{}\" must be https://HOST or https://HOST:PORT",
                             options.endpoint));
  }
  if (!secure && !IsThisMachine(host)) {
    return wrong(
        fmt::format("the endpoint {} is not encrypted, which is allowed to this machine "
                    "only; use https://",
                    options.endpoint));
  }
  if (options.region.empty() ||
      !std::all_of(options.region.begin(), options.region.end(), IsPlain)) {
    return wrong(fmt::format("\"{}\" is no region", options.region));
  }
  if (options.part_bytes < kPartBytesMin || options.part_bytes > kPartBytesMax) {
    return wrong(fmt::format("parts of {} bytes: they may have {} to {}", options.part_bytes,
                             kPartBytesMin, kPartBytesMax));
  }
  return {};
}

base::Result<S3Credentials> LoadS3Credentials(env::Env& env, const std::string& file) {
  S3Credentials credentials;
  if (file.empty()) {
    const auto get = [](const char* name) -> std::string {
      const char* const value = std::getenv(name);
      return value == nullptr ? "" : value;
    };
    credentials = {get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"),
                   get("AWS_SESSION_TOKEN")};
    if (!credentials.access_key.empty() && !credentials.secret_key.empty()) return credentials;
    return base::InvalidArgument(
        "there are no credentials for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not in "
        "the environment of the daemon\nset them there, or name a file with --credentials");
  }
  auto text = env::ReadFile(env, file, kCredentialsBytesMax);
  if (!text.ok()) return text.status().WithContext("credentials for S3");
  std::string_view rest(reinterpret_cast<const char*>(text->data()), text->size());
  bool ours = true;  // also without a section
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = Trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.starts_with('[')) ours = line == "[default]";
    const size_t equals = line.find('=');
    if (!ours || line.starts_with('#') || equals == std::string_view::npos) continue;
    const std::string_view key = Trim(line.substr(0, equals));
    const std::string value(Trim(line.substr(equals + 1)));
    if (key == "aws_access_key_id") credentials.access_key = value;
    if (key == "aws_secret_access_key") credentials.secret_key = value;
    if (key == "aws_session_token") credentials.session_token = value;
  }
  if (!credentials.access_key.empty() && !credentials.secret_key.empty()) return credentials;
  return base::InvalidArgument(
      fmt::format("{} has no aws_access_key_id and aws_secret_access_key in [default]", file));
}

}  // namespace understudy::store
