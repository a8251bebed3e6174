// SPDX-License-Identifier: Apache-2.0
#include "testing/fake_s3.h"

#include <fmt/format.h>

#include <cstdlib>
#include <set>

#include "store/digest.h"
#include "store/xml_reader.h"

namespace understudy::test {
namespace {

using store::HttpAnswer;
using store::HttpRequest;

base::Bytes Text(std::string_view text) { return {text.begin(), text.end()}; }

HttpAnswer Error(int status, std::string_view code) {
  return {.status = status,
          .headers = {},
          .body = Text(fmt::format("<Error><Code>{}</Code><Message>m</Message></Error>", code))};
}

std::string EtagOf(base::ByteView bytes) { return '"' + store::Md5Base64(bytes) + '"'; }

std::string Header(const HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (key == name) return value;
  }
  return {};
}

std::string Decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      decoded += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::map<std::string, std::string> QueryOf(const HttpRequest& request) {
  std::map<std::string, std::string> query;
  std::string_view rest = request.query;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    const size_t equals = one.find('=');
    query[std::string(one.substr(0, equals))] = Decoded(one.substr(equals + 1));
  }
  return query;
}

}  // namespace

void FakeS3::Arm(Plan plan) {
  base::MutexLock lock(mutex_);
  plan_ = plan;
  seen_ = 0;
  fired_ = false;
}

bool FakeS3::fired() const {
  base::MutexLock lock(mutex_);
  return fired_;
}

base::Result<HttpAnswer> FakeS3::Send(const HttpRequest& request) {
  bool fails = false;
  Plan plan;
  {
    base::MutexLock lock(mutex_);
    plan = plan_;
    ++seen_;
    fails = plan.nth != 0 && (seen_ == plan.nth || (plan.for_ever && seen_ > plan.nth));
    // A killed client's last request may arrive, and none after it.
    if (plan.fault == S3Fault::kAnswerLost && seen_ > plan.nth) plan.fault = S3Fault::kNotDone;
    fired_ = fired_ || fails;
  }
  if (fails && plan.fault == S3Fault::kNotDone) return base::Unavailable("connection refused");
  if (fails && plan.fault == S3Fault::kUnavailable) return Error(503, "SlowDown");
  HttpAnswer answer;
  {
    base::MutexLock lock(world_.mutex);
    ++world_.requests;
    answer = Carry(request);
  }
  if (fails && plan.fault == S3Fault::kAnswerLost) return base::Unavailable("connection reset");
  if (fails && plan.fault == S3Fault::kGarbage && !answer.body.empty()) {
    answer.body.resize(answer.body.size() / 2);
  }
  return answer;
}

HttpAnswer FakeS3::Carry(const HttpRequest& request) {
  const std::string path = Decoded(request.path);
  if (path == "/" + bucket_) return OfBucket(request);
  const std::string start = "/" + bucket_ + "/";
  if (!path.starts_with(start)) return Error(404, "NoSuchBucket");
  const std::string key = path.substr(start.size());
  if (request.method == "GET" || request.method == "HEAD") return Read(request, key);
  if (request.method == "PUT") return Put(request, key);
  if (request.method == "POST") return Post(request, key);
  if (request.method != "DELETE") return Error(405, "MethodNotAllowed");
  const auto query = QueryOf(request);
  if (const auto id = query.find("uploadId"); id != query.end()) {
    if (world_.uploads.erase(id->second) == 0) return Error(404, "NoSuchUpload");
  } else {
    world_.objects.erase(key);
  }
  return {.status = 204, .headers = {}, .body = {}};
}

HttpAnswer FakeS3::OfBucket(const HttpRequest& request) {
  auto query = QueryOf(request);
  const std::string prefix = query["prefix"];
  std::set<std::string> names;  // a folder ends with a slash
  for (const auto& [key, bytes] : world_.objects) {
    if (!key.starts_with(prefix)) continue;
    const size_t slash = key.find('/', prefix.size());
    names.insert(slash == std::string::npos ? key : key.substr(0, slash + 1));
  }
  std::string xml = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\">";
  size_t listed = 0;
  std::string last;
  for (const std::string& name : names) {
    if (name <= query["continuation-token"]) continue;
    if (listed++ == world_.names_per_page) break;
    last = name;
    if (name.ends_with('/')) {
      xml += fmt::format("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", name);
    } else {
      xml += fmt::format("<Contents><Key>{}</Key><Size>{}</Size></Contents>", name,
                         world_.objects[name].size());
    }
  }
  if (listed > world_.names_per_page) {
    xml += "<IsTruncated>true</IsTruncated><NextContinuationToken>" + last +
           "</NextContinuationToken>";
  }
  return {.status = 200, .headers = {}, .body = Text(xml + "</ListBucketResult>")};
}

HttpAnswer FakeS3::Read(const HttpRequest& request, const std::string& key) {
  const auto found = world_.objects.find(key);
  if (found == world_.objects.end()) return Error(404, "NoSuchKey");
  const base::Bytes& bytes = found->second;
  const std::string match = Header(request, "if-match");
  const std::string& etag = world_.etags[key];
  if (!match.empty() && match != etag) return Error(412, "PreconditionFailed");
  HttpAnswer answer{.status = 200,
                    .headers = {{"content-length", std::to_string(bytes.size())}, {"etag", etag}},
                    .body = {}};
  if (request.method == "HEAD") return answer;
  const std::string range = Header(request, "range");
  if (range.empty()) {
    answer.body = bytes;
    return answer;
  }
  const size_t from = std::strtoull(range.c_str() + 6, nullptr, 10);
  const size_t to = std::strtoull(range.c_str() + range.find('-') + 1, nullptr, 10);
  if (from >= bytes.size()) return Error(416, "InvalidRange");
  answer.status = 206;
  answer.body.assign(bytes.begin() + static_cast<ptrdiff_t>(from),
                     bytes.begin() + static_cast<ptrdiff_t>(std::min(to + 1, bytes.size())));
  return answer;
}

HttpAnswer FakeS3::Put(const HttpRequest& request, const std::string& key) {
  const std::string md5 = Header(request, "content-md5");
  if (!md5.empty() && md5 != store::Md5Base64(request.body)) return Error(400, "BadDigest");
  auto query = QueryOf(request);
  const base::Bytes body(request.body.begin(), request.body.end());
  if (query.contains("uploadId")) {
    const auto upload = world_.uploads.find(query["uploadId"]);
    if (upload == world_.uploads.end()) return Error(404, "NoSuchUpload");
    upload->second.parts[std::stoi(query["partNumber"])] = body;
  } else {
    if (world_.knows_if_none_match && Header(request, "if-none-match") == "*" &&
        world_.objects.contains(key)) {
      return Error(412, "PreconditionFailed");
    }
    world_.objects[key] = body;
    world_.etags[key] = EtagOf(body);
  }
  return {.status = 200, .headers = {{"etag", EtagOf(body)}}, .body = {}};
}

HttpAnswer FakeS3::Post(const HttpRequest& request, const std::string& key) {
  auto query = QueryOf(request);
  if (query.contains("uploads")) {
    const std::string id = fmt::format("id&{}/", world_.next_upload++);
    world_.uploads[id].key = key;
    return {.status = 200,
            .headers = {},
            .body = Text(fmt::format("<InitiateMultipartUploadResult><UploadId>id&amp;{}/"
                                     "</UploadId></InitiateMultipartUploadResult>",
                                     world_.next_upload - 1))};
  }
  const auto upload = world_.uploads.find(query["uploadId"]);
  if (upload == world_.uploads.end()) return Error(404, "NoSuchUpload");
  const auto list =
      store::ReadXml({reinterpret_cast<const char*>(request.body.data()), request.body.size()});
  if (!list.ok() || list->children.size() != upload->second.parts.size()) {
    return Error(400, "InvalidPart");
  }
  base::Bytes whole;
  for (const store::XmlElement& part : list->children) {
    const auto& parts = upload->second.parts;
    const auto stored = parts.find(std::stoi(std::string(part.TextOf("PartNumber"))));
    if (stored == parts.end() || EtagOf(stored->second) != part.TextOf("ETag")) {
      return Error(400, "InvalidPart");
    }
    base::AppendBytes(whole, stored->second);
  }
  world_.etags[key] = EtagOf(whole);
  world_.objects[key] = std::move(whole);
  world_.uploads.erase(upload);
  return {.status = 200,
          .headers = {},
          .body = Text("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")};
}

}  // namespace understudy::test
