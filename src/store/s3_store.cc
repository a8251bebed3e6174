// SPDX-License-Identifier: Apache-2.0
#include "store/s3_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "store/curl_http.h"
#include "store/digest.h"
#include "store/s3_upload.h"

namespace understudy::store {
namespace {

constexpr uint64_t kReadBytesMax = 64 << 20;  // at once

base::Result<uint64_t> NumberOf(std::string_view text, const std::string& what) {
  uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || rest != text.data() + text.size()) {
    return base::Corruption(fmt::format("{}: no number where one should be", what));
  }
  return number;
}

std::string HeaderOf(const HttpAnswer& answer, const std::string& name) {
  const auto found = answer.headers.find(name);
  return found == answer.headers.end() ? "" : found->second;
}

// Of what lies right below a prefix; parameters are in the order in which they are signed.
std::string ListQuery(const std::string& prefix) {
  return "delimiter=%2F&list-type=2&prefix=" + EncodeUri(prefix, /*keep_slashes=*/false);
}

// Ranges of one object. If it is replaced meanwhile, that is noticed by its etag.
class S3Reader final : public ObjectReader {
 public:
  S3Reader(S3Client& client, std::string key, uint64_t size, std::string etag)
      : client_(client), key_(std::move(key)), size_(size), etag_(std::move(etag)) {}

  base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    size_t done = 0;
    while (done < out.size() && offset + done < size_) {
      const uint64_t from = offset + done;
      const uint64_t bytes = std::min({uint64_t{out.size() - done}, size_ - from, kReadBytesMax});
      RETURN_IF_ERROR(ReadRange(from, out.subspan(done, bytes)));
      done += bytes;
    }
    return done;
  }
  base::Result<uint64_t> Size() override { return size_; }
  void DropFromCache(uint64_t, uint64_t) override {}

 private:
  base::Status ReadRange(uint64_t from, std::span<uint8_t> out) {
    S3Request request{.method = "GET", .key = key_, .answer_bytes_max = out.size()};
    request.patient = true;
    request.headers.emplace_back("range", fmt::format("bytes={}-{}", from, from + out.size() - 1));
    if (!etag_.empty()) request.headers.emplace_back("if-match", etag_);
    const auto answer = client_.Send(request);
    if (answer.status().code() == base::Code::kAlreadyExists) {  // 412
      return base::Corruption(key_ + " was replaced while it was read");
    }
    RETURN_IF_ERROR(answer.status());
    if (answer->body.size() != out.size()) {
      return base::Corruption(fmt::format("{}: {} bytes instead of {} from byte {}", key_,
                                          answer->body.size(), out.size(), from));
    }
    std::memcpy(out.data(), answer->body.data(), out.size());
    return {};
  }

  S3Client& client_;
  const std::string key_;
  const uint64_t size_;
  const std::string etag_;
};

}  // namespace

S3Store::S3Store(env::Env& env, std::unique_ptr<HttpClient> http, const S3Options& options,
                 Pause pause)
    : name_(options.Name()), client_(env, std::move(http), options, std::move(pause)) {}

base::Result<std::unique_ptr<S3Store>> S3Store::Open(env::Env& env, const S3Options& options) {
  RETURN_IF_ERROR(CheckS3Options(options));
  ASSIGN_OR_RETURN(S3Credentials credentials, LoadS3Credentials(env, options.credentials_file));
  return std::make_unique<S3Store>(env, std::make_unique<CurlHttp>(options, std::move(credentials)),
                                   options);
}

base::Result<std::unique_ptr<ObjectReader>> S3Store::Open(const std::string& key) {
  ASSIGN_OR_RETURN(const HttpAnswer answer, client_.Send({.method = "HEAD", .key = key}));
  ASSIGN_OR_RETURN(const uint64_t size, NumberOf(HeaderOf(answer, "content-length"), NameOf(key)));
  return std::unique_ptr<ObjectReader>(
      std::make_unique<S3Reader>(client_, key, size, HeaderOf(answer, "etag")));
}

base::Result<ObjectInfo> S3Store::Stat(const std::string& key) {
  ASSIGN_OR_RETURN(const auto reader, Open(key));
  ASSIGN_OR_RETURN(const uint64_t size, reader->Size());
  return ObjectInfo{env::BaseNameOf(key), size, {}};
}

base::Result<ObjectList> S3Store::List(const std::string& folder) {
  std::string prefix = client_.FullKey(folder);
  if (!prefix.empty() && !prefix.ends_with('/')) prefix += '/';
  ObjectList list;
  std::string token;
  for (size_t page = 0; page < kListPagesMax; ++page) {
    std::string query;
    if (!token.empty()) query = "continuation-token=" + EncodeUri(token, false) + "&";
    query += ListQuery(prefix);
    ASSIGN_OR_RETURN(const XmlElement answer,
                     client_.SendForXml({.method = "GET", .query = query}, "ListBucketResult"));
    for (const XmlElement& child : answer.children) {
      const bool object = child.name == "Contents";
      if (!object && child.name != "CommonPrefixes") continue;
      std::string_view key = child.TextOf(object ? "Key" : "Prefix");
      if (!key.starts_with(prefix)) return base::Corruption(name_ + " listed another folder");
      key.remove_prefix(prefix.size());
      if (!object && key.ends_with('/')) key.remove_suffix(1);
      if (key.empty() || key.ends_with(kPartialSuffix)) continue;
      if (!object) {
        list.folders.emplace_back(key);
        continue;
      }
      ASSIGN_OR_RETURN(const uint64_t bytes, NumberOf(child.TextOf("Size"), name_));
      const auto modified = base::FromRfc3339(child.TextOf("LastModified"));
      list.objects.push_back(
          {std::string(key), bytes, modified.ok() ? *modified : base::WallTime()});
    }
    token = answer.TextOf("NextContinuationToken");
    if (answer.TextOf("IsTruncated") != "true") return list;
    if (token.empty()) return base::Corruption(name_ + " says that there is more, but not where");
  }
  return base::NoSpace(
      fmt::format("{} has more than {} pages of names", NameOf(folder), kListPagesMax));
}

base::Status S3Store::Put(const std::string& key, base::ByteView content, PutMode mode) {
  if (mode == PutMode::kNew) return PutNew(key, content);
  return client_
      .Send({.method = "PUT",
             .key = key,
             .headers = {{"content-md5", Md5Base64(content)}},
             .body = content})
      .status();
}

base::Status S3Store::PutNew(const std::string& key, base::ByteView content) {
  // For servers that do not know If-None-Match.
  if (const auto there = Stat(key); there.ok()) return base::AlreadyExists(NameOf(key) + " exists");
  const base::Status put =
      client_
          .Send({.method = "PUT",
                 .key = key,
                 .headers = {{"content-md5", Md5Base64(content)}, {"if-none-match", "*"}},
                 .body = content})
          .status();
  if (put.code() != base::Code::kAlreadyExists) return put;
  // It may be ours: the answer to the first attempt was lost.
  const auto there = Get(*this, key, content.size());
  if (there.ok() && std::equal(there->begin(), there->end(), content.begin(), content.end())) {
    return {};
  }
  return base::AlreadyExists(NameOf(key) + " exists");
}

base::Result<std::unique_ptr<Upload>> S3Store::Begin(const UploadOptions& options) {
  return std::unique_ptr<Upload>(std::make_unique<S3Upload>(*this, client_, options));
}

base::Status S3Store::Delete(const std::string& key) {
  const base::Status deleted = client_.Send({.method = "DELETE", .key = key}).status();
  return deleted.code() == base::Code::kNotFound ? base::Status() : deleted;
}

base::Status S3Store::RemoveUnfinished(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    const std::string prefix = client_.FullKey(folder) + "/";
    // Not List, which does not show them. More than one page of them is left to the next time.
    ASSIGN_OR_RETURN(
        const XmlElement answer,
        client_.SendForXml({.method = "GET", .query = ListQuery(prefix)}, "ListBucketResult"));
    for (const XmlElement& child : answer.children) {
      std::string_view key = child.TextOf("Key");
      if (child.name != "Contents" || !key.starts_with(prefix)) continue;
      key.remove_prefix(prefix.size());
      if (!key.ends_with(kPartialSuffix)) continue;
      RETURN_IF_ERROR(AbortUpload(*this, client_, env::JoinPath(folder, key)));
    }
  }
  return {};
}

base::Result<std::optional<env::Space>> S3Store::Free() { return std::optional<env::Space>(); }

base::Result<std::unique_ptr<env::FileLock>> S3Store::LockOnHost(const std::string&) {
  return std::unique_ptr<env::FileLock>();  // only what holds across hosts counts here
}

base::Result<bool> S3Store::ChecksIfNoneMatch(const std::string& key) {
  const S3Request put{.method = "PUT", .key = key, .headers = {{"if-none-match", "*"}}};
  RETURN_IF_ERROR(Delete(key));
  const base::Status first = client_.Send(put).status();
  if (first.code() != base::Code::kAlreadyExists) RETURN_IF_ERROR(first);
  const base::Status second = client_.Send(put).status();
  RETURN_IF_ERROR(Delete(key));
  if (second.code() == base::Code::kAlreadyExists) return true;
  RETURN_IF_ERROR(second);
  return false;
}

}  // namespace understudy::store
