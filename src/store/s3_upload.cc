// SPDX-License-Identifier: Apache-2.0
#include "store/s3_upload.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/digest.h"

namespace understudy::store {
namespace {

constexpr uint64_t kMarkerBytesMax = 8 << 10;
constexpr size_t kUploadIdMax = 2048;
constexpr size_t kEtagMax = 256;

std::string XmlEscaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

base::Status Abort(S3Client& client, const std::string& key, const std::string& upload_id,
                   bool once) {
  const auto aborted = client.Send(
      {.method = "DELETE", .key = key, .query = "uploadId=" + EncodeUri(upload_id, false)}, once);
  const base::Code code = aborted.status().code();
  // Gone already; or not allowed or unknown to the server: then only a rule of the bucket's life
  // cycle takes the parts away, and trying again helps nobody.
  if (code == base::Code::kNotFound || code == base::Code::kInvalidArgument) return {};
  return aborted.status();
}

}  // namespace

S3Upload::~S3Upload() {
  // What is stored already is data of no document; whoever holds the lock removes it. (It may be
  // somebody else's by now.) Of an upload this is best effort, once: RemoveUnfinished finds it.
  if (published_ || stored_ || upload_id_.empty()) return;
  if (Abort(client_, options_.key, upload_id_, /*once=*/true).ok()) {
    store_.Delete(options_.temporary).IgnoreError();
  }
}

std::vector<std::pair<std::string, std::string>> S3Upload::Headers() const {
  if (!options_.modified) return {};
  // As Litestream has it.
  return {{"x-amz-meta-litestream-timestamp", base::ToRfc3339(*options_.modified)}};
}

base::Status S3Upload::Append(base::ByteView bytes) {
  const size_t whole = client_.options().part_bytes;
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    if (part_.size() == whole) RETURN_IF_ERROR(SendPart());
    const size_t some = std::min(bytes.size(), whole - part_.size());
    base::AppendBytes(part_, bytes.first(some));
    bytes = bytes.subspan(some);
  }
  return {};
}

base::Status S3Upload::BeginParts() {
  ASSIGN_OR_RETURN(
      const XmlElement answer,
      client_.SendForXml(
          {.method = "POST", .key = options_.key, .query = "uploads=", .headers = Headers()},
          "InitiateMultipartUploadResult"));
  const std::string id(answer.TextOf("UploadId"));
  if (id.empty() || id.size() > kUploadIdMax) {
    return base::Corruption(store_.name() + " gave an upload no id that is understood");
  }
  upload_id_ = id;
  // Before the first part, so that no part is ever forgotten.
  return store_.Put(options_.temporary, base::AsBytes(options_.key + "\n" + id + "\n"),
                    PutMode::kReplace);
}

base::Status S3Upload::SendPart() {
  if (upload_id_.empty()) RETURN_IF_ERROR(BeginParts());
  if (etags_.size() >= kPartsMax) {
    return base::NoSpace(
        fmt::format("{} would have more than {} parts of {} bytes; use a larger part size",
                    store_.NameOf(options_.key), kPartsMax, client_.options().part_bytes));
  }
  const size_t number = etags_.size() + 1;
  ASSIGN_OR_RETURN(const HttpAnswer answer,
                   client_.Send({.method = "PUT",
                                 .key = options_.key,
                                 .query = fmt::format("partNumber={}&uploadId={}", number,
                                                      EncodeUri(upload_id_, false)),
                                 .headers = {{"content-md5", Md5Base64(part_)}},
                                 .body = part_,
                                 .patient = true}));
  const auto etag = answer.headers.find("etag");
  if (etag == answer.headers.end() || etag->second.size() > kEtagMax) {
    return base::Corruption(fmt::format("{} gave part {} no etag", store_.name(), number));
  }
  etags_.push_back(etag->second);
  part_.clear();
  return {};
}

base::Status S3Upload::Complete() {
  std::string list = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < etags_.size(); ++i) {
    list += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1,
                        XmlEscaped(etags_[i]));
  }
  list += "</CompleteMultipartUpload>";
  const auto completed = client_.SendForXml({.method = "POST",
                                             .key = options_.key,
                                             .query = "uploadId=" + EncodeUri(upload_id_, false),
                                             .body = base::AsBytes(list),
                                             .patient = true},
                                            "CompleteMultipartUploadResult");
  // An answer that was lost: repeated, there is no such upload any more.
  if (completed.status().code() != base::Code::kNotFound) return completed.status();
  const auto there = store_.Stat(options_.key);
  return there.ok() && there->bytes == bytes_ ? base::Status() : completed.status();
}

base::Result<uint64_t> S3Upload::Store(uint64_t, bool whole) {
  if (!whole) return uint64_t{0};  // parts cannot be read
  if (upload_id_.empty()) {
    auto headers = Headers();
    headers.emplace_back("content-md5", Md5Base64(part_));
    stored_ = true;  // perhaps
    const auto put = client_.Send({.method = "PUT",
                                   .key = options_.key,
                                   .headers = std::move(headers),
                                   .body = part_,
                                   .patient = true});
    RETURN_IF_ERROR(put.status());
  } else {
    if (!part_.empty()) RETURN_IF_ERROR(SendPart());
    RETURN_IF_ERROR(Complete());
    stored_ = true;
    RETURN_IF_ERROR(store_.Delete(options_.temporary));
  }
  part_ = {};
  return bytes_;
}

base::Result<std::unique_ptr<ObjectReader>> S3Upload::OpenStored() {
  return store_.Open(options_.key);
}

base::Status S3Upload::Publish(bool) {
  published_ = true;  // it has its key already
  return {};
}

base::Status AbortUpload(ObjectStore& store, S3Client& client, const std::string& marker) {
  const auto content = Get(store, marker, kMarkerBytesMax);
  if (content.status().code() == base::Code::kNotFound) return {};
  RETURN_IF_ERROR(content.status());
  const std::string_view text(reinterpret_cast<const char*>(content->data()), content->size());
  const size_t line = text.find('\n');
  if (line != std::string_view::npos && text.ends_with('\n') && line + 1 < text.size()) {
    RETURN_IF_ERROR(Abort(client, std::string(text.substr(0, line)),
                          std::string(text.substr(line + 1, text.size() - line - 2)),
                          /*once=*/false));
  }
  return store.Delete(marker);
}

}  // namespace understudy::store
