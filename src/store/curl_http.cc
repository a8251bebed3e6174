// SPDX-License-Identifier: Apache-2.0
#include "store/curl_http.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace understudy::store {
namespace {

constexpr size_t kHeadersMax = 100;
constexpr size_t kHeaderBytesMax = 8 << 10;

struct Receiver {
  HttpAnswer answer;
  uint64_t bytes_max = 0;
  bool too_large = false;
};

size_t TakeBody(char* data, size_t size, size_t count, void* to) {
  auto& receiver = *static_cast<Receiver*>(to);
  const size_t bytes = size * count;
  if (receiver.answer.body.size() + bytes > receiver.bytes_max) {
    receiver.too_large = true;
    return 0;
  }
  receiver.answer.body.insert(receiver.answer.body.end(), data, data + bytes);
  return bytes;
}

size_t TakeHeader(char* data, size_t size, size_t count, void* to) {
  auto& receiver = *static_cast<Receiver*>(to);
  const std::string_view line(data, size * count);
  // A status line: those of an answer before, such as 100 Continue, do not count.
  if (line.starts_with("HTTP/")) receiver.answer.headers.clear();
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.size() > kHeaderBytesMax ||
      receiver.answer.headers.size() >= kHeadersMax) {
    return line.size();
  }
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const size_t begin = line.find_first_not_of(" \t", colon + 1);
  const size_t end = line.find_last_not_of(" \t\r\n");
  const bool none = begin == std::string_view::npos || end < begin;
  receiver.answer.headers[name] = none ? "" : std::string(line.substr(begin, end - begin + 1));
  return line.size();
}

long Milliseconds(base::Duration duration) {
  return static_cast<long>(duration / std::chrono::milliseconds(1));
}

// With the bucket in the host's name, unless it is in the path.
std::string BaseUrl(const S3Options& options) {
  if (options.path_style) return options.endpoint;
  std::string url = options.endpoint;
  return url.insert(url.find("//") + 2, options.bucket + ".");
}

base::Status FailureOf(CURLcode code, const char* detail, const std::string& where) {
  const std::string what =
      fmt::format("{}: {}", where, *detail != 0 ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT: return base::TimedOut(what);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return base::InvalidArgument(what);
    default: return base::Unavailable(what);
  }
}

}  // namespace

struct CurlHttp::Handle {
  CURL* curl = curl_easy_init();
  curl_slist* headers = nullptr;
  std::array<char, CURL_ERROR_SIZE> error{};

  Handle() { CHECK(curl != nullptr); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
  }
  void AddHeader(const std::string& line) {
    curl_slist* const longer = curl_slist_append(headers, line.c_str());
    CHECK(longer != nullptr);
    headers = longer;
  }
};

CurlHttp::CurlHttp(S3Options options, S3Credentials credentials, HttpLimits limits)
    : options_(std::move(options)), credentials_(std::move(credentials)), limits_(limits) {
  static const CURLcode kStarted = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(kStarted == CURLE_OK);
}

CurlHttp::~CurlHttp() = default;

std::unique_ptr<CurlHttp::Handle> CurlHttp::TakeHandle() {
  base::MutexLock lock(mutex_);
  if (idle_.empty()) return std::make_unique<Handle>();
  std::unique_ptr<Handle> handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void CurlHttp::Prepare(Handle& handle, const HttpRequest& request) const {
  CURL* const curl = handle.curl;
  curl_easy_reset(curl);  // keeps its connection
  curl_slist_free_all(handle.headers);
  handle.headers = nullptr;
  handle.error[0] = 0;
  const std::string url =
      BaseUrl(options_) + request.path + (request.query.empty() ? "" : "?" + request.query);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, handle.error.data());
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, Milliseconds(limits_.connect));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, Milliseconds(limits_.whole));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(limits_.bytes_per_second_min));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, Milliseconds(limits_.stalled) / 1000);
  if (!options_.ca_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  }
  const std::string signature = fmt::format("aws:amz:{}:s3", options_.region);
  curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, signature.c_str());
  curl_easy_setopt(curl, CURLOPT_USERNAME, credentials_.access_key.c_str());
  curl_easy_setopt(curl, CURLOPT_PASSWORD, credentials_.secret_key.c_str());
  if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET") {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  if (request.method == "PUT" || request.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(
        curl, CURLOPT_POSTFIELDS,
        request.body.empty() ? "" : reinterpret_cast<const char*>(request.body.data()));
    handle.AddHeader("Content-Type: application/octet-stream");
    // Not "Expect:": libcurl would sign a header that it then does not send.
  }
  if (!credentials_.session_token.empty()) {
    handle.AddHeader("x-amz-security-token: " + credentials_.session_token);
  }
  for (const auto& [name, value] : request.headers) {
    handle.AddHeader(fmt::format("{}: {}", name, value));
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, handle.headers);
}

base::Result<HttpAnswer> CurlHttp::Send(const HttpRequest& request) {
  std::unique_ptr<Handle> handle = TakeHandle();
  Prepare(*handle, request);
  Receiver receiver{.answer = {}, .bytes_max = std::max(request.answer_bytes_max, kErrorBytesMax)};
  curl_easy_setopt(handle->curl, CURLOPT_WRITEFUNCTION, TakeBody);
  curl_easy_setopt(handle->curl, CURLOPT_WRITEDATA, &receiver);
  curl_easy_setopt(handle->curl, CURLOPT_HEADERFUNCTION, TakeHeader);
  curl_easy_setopt(handle->curl, CURLOPT_HEADERDATA, &receiver);
  const CURLcode code = curl_easy_perform(handle->curl);
  const std::string where = request.method + " " + options_.endpoint + request.path;
  if (receiver.too_large) {
    return base::Corruption(
        fmt::format("{}: the answer has more than {} bytes", where, receiver.bytes_max));
  }
  if (code != CURLE_OK) return FailureOf(code, handle->error.data(), where);
  long status = 0;
  curl_easy_getinfo(handle->curl, CURLINFO_RESPONSE_CODE, &status);
  receiver.answer.status = static_cast<int>(status);
  base::MutexLock lock(mutex_);
  if (idle_.size() < kHandlesMax) idle_.push_back(std::move(handle));
  return std::move(receiver.answer);
}

}  // namespace understudy::store
