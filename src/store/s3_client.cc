// SPDX-License-Identifier: Apache-2.0
#include "store/s3_client.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/first_line.h"
#include "store/digest.h"

namespace understudy::store {
namespace {

constexpr size_t kMessageMax = 300;  // of S3's own words

std::string_view AsText(const base::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct S3Error {
  std::string code;
  std::string message;
};

// What an answer with an error says; empty where it says nothing that is understood.
S3Error ErrorOf(const HttpAnswer& answer) {
  const auto xml = ReadXml(AsText(answer.body));
  if (!xml.ok() || xml->name != "Error") return {};
  std::string message(xml->TextOf("Message").substr(0, kMessageMax));
  std::replace_if(message.begin(), message.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
  return {std::string(xml->TextOf("Code").substr(0, kMessageMax)), message};
}

bool IsTemporary(int status, const std::string& code) {
  return status == 408 || status == 409 || status == 429 || status >= 500 ||
         code == "RequestTimeout" || code == "SlowDown" || code == "InternalError";
}

base::Code CodeOf(int status) {
  if (status == 404) return base::Code::kNotFound;
  if (status == 412) return base::Code::kAlreadyExists;
  return base::Code::kInvalidArgument;
}

std::string_view Hint(int status, const std::string& code) {
  if (code == "RequestTimeTooSkewed") return "\nset the clock of this server";
  if (code == "NoSuchBucket") return "\nmake the bucket first";
  if (status == 301 || status == 307 || code == "AuthorizationHeaderMalformed") {
    return "\nlook at the endpoint and region of the repository";
  }
  if (status == 401 || status == 403) {
    return "\nlook at the credentials, and what they may do in the bucket";
  }
  return "";
}

base::Status FailureOf(const HttpAnswer& answer, const std::string& what, bool& again) {
  const S3Error error = ErrorOf(answer);
  again = answer.status != 501 && IsTemporary(answer.status, error.code);
  const std::string message = fmt::format(
      "{}: status {}{}{}{}{}{}", what, answer.status, error.code.empty() ? "" : ", ", error.code,
      error.message.empty() ? "" : ": ", error.message, Hint(answer.status, error.code));
  return {again ? base::Code::kUnavailable : CodeOf(answer.status), message};
}

}  // namespace

std::string EncodeUri(std::string_view text, bool keep_slashes) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && keep_slashes);
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string S3Client::FullKey(const std::string& key) const {
  return options_.prefix.empty() ? key : env::JoinPath(options_.prefix, key);
}

base::Result<HttpAnswer> S3Client::SendOnce(const HttpRequest& request, const std::string& what,
                                            bool& again) {
  auto answer = http_->Send(request);
  if (!answer.ok()) {
    again = answer.status().code() == base::Code::kUnavailable ||
            answer.status().code() == base::Code::kTimedOut;
    return answer;
  }
  if (answer->status >= 200 && answer->status < 300) {
    // S3 begins some answers before it knows how they end.
    const bool failed = !answer->body.empty() && request.method == "POST" &&
                        ReadXml(AsText(answer->body)).ok() && !ErrorOf(*answer).code.empty();
    if (!failed && answer->body.size() > request.answer_bytes_max) {
      return base::Corruption(fmt::format("{}: the answer has {} bytes, {} were expected at most",
                                          what, answer->body.size(), request.answer_bytes_max));
    }
    if (!failed) return answer;
    answer->status = 500;
  }
  return FailureOf(*answer, what, again);
}

base::Result<HttpAnswer> S3Client::Send(const S3Request& request, bool once) {
  HttpRequest http{.method = request.method,
                   .path = "/",
                   .query = request.query,
                   .headers = request.headers,
                   .body = request.body,
                   .answer_bytes_max = request.answer_bytes_max};
  if (options_.path_style) http.path += options_.bucket;
  if (!request.key.empty()) {
    if (options_.path_style) http.path += '/';
    http.path += EncodeUri(FullKey(request.key), /*keep_slashes=*/true);
  }
  http.headers.emplace_back("x-amz-content-sha256", Sha256Hex(request.body));
  const std::string what = fmt::format(
      "{} {}", request.method,
      request.key.empty() ? options_.Name() : env::JoinPath(options_.Name(), request.key));
  const base::SteadyTime end = env_.Now() + (request.patient ? options_.patience : kRetryForMax);
  base::Duration wait = kRetryWaitMin;
  for (int attempt = 1;; ++attempt) {
    bool again = false;
    auto answer = SendOnce(http, what, again);
    if (answer.ok() || !again || once) return answer;
    const base::Duration half = wait / 2;
    const auto pause = half + base::Duration(env_.Random() % static_cast<uint64_t>(half.count()));
    const bool often = !request.patient && attempt >= kAttemptsMax;
    if (often || env_.Now() + pause > end) return GiveUp(answer.status(), attempt, request.patient);
    pause_(pause);
    wait = std::min(wait * 2, kRetryWaitMax);
  }
}

base::Status S3Client::GiveUp(const base::Status& last, int attempts, bool patient) const {
  std::string message =
      fmt::format("{} (tried {} times", base::FirstLine(last.message()), attempts);
  if (patient) {
    message += fmt::format(" in {} s", options_.patience / std::chrono::seconds(1));
    message += ")\nthe location's patience=30m lets it wait for longer";
  } else {
    message += ")";
  }
  return base::Status(last.code(), std::move(message));
}

base::Result<XmlElement> S3Client::SendForXml(const S3Request& request, std::string_view root) {
  ASSIGN_OR_RETURN(const HttpAnswer answer, Send(request));
  auto xml = ReadXml(AsText(answer.body));
  if (!xml.ok()) return xml.status().WithContext("answer of " + options_.Name());
  if (xml->name != root) {
    return base::Corruption(fmt::format("{} answered with {} instead of {}", options_.Name(),
                                        xml->name.substr(0, kMessageMax), root));
  }
  return xml;
}

}  // namespace understudy::store
