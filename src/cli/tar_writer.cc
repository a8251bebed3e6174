// SPDX-License-Identifier: Apache-2.0
#include "cli/tar_writer.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cstring>

namespace understudy::cli {
namespace {

constexpr size_t kBlock = 512;
constexpr int kGzip = 15 + 16;  // zlib's largest window, in a gzip file

// Where the fields of a header begin (POSIX.1-1988, 10.1.1).
constexpr size_t kMode = 100, kUid = 108, kGid = 116, kSize = 124, kTime = 136, kSum = 148,
                 kType = 156, kMagic = 257;

void PutOctal(std::array<char, kBlock>& header, size_t at, size_t width, uint64_t value) {
  const std::string text = fmt::format("{:0{}o}", value, width - 1);
  std::memcpy(header.data() + at, text.data(), width - 1);
}

void Pad(std::string& archive) { archive.resize((archive.size() + kBlock - 1) / kBlock * kBlock); }

}  // namespace

base::Status TarWriter::Add(const std::string& name, std::string_view content) {
  if (name.empty() || name.size() > kNameBytesMax || name[0] == '/' ||
      name.find("..") != std::string::npos) {
    return base::InvalidArgument(fmt::format("\"{}\" is no name in an archive", name));
  }
  std::array<char, kBlock> header{};
  std::memcpy(header.data(), name.data(), name.size());
  PutOctal(header, kMode, 8, 0600);
  PutOctal(header, kUid, 8, 0);
  PutOctal(header, kGid, 8, 0);
  PutOctal(header, kSize, 12, content.size());
  PutOctal(header, kTime, 12, static_cast<uint64_t>(time_.unix_ms / 1000));
  header[kType] = '0';
  std::memcpy(header.data() + kMagic,
              "ustar\0"
              "00",
              8);
  std::memset(header.data() + kSum, ' ', 8);  // as which the sum counts itself
  uint64_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  PutOctal(header, kSum, 7, sum);
  header[kSum + 6] = '\0';
  archive_.append(header.data(), header.size());
  archive_.append(content);
  Pad(archive_);
  return {};
}

base::Result<base::Bytes> TarWriter::Finish() {
  archive_.append(2 * kBlock, '\0');
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return base::Internal("zlib cannot compress");
  }
  base::Bytes out(deflateBound(&stream, archive_.size()));
  stream.next_in = reinterpret_cast<Bytef*>(archive_.data());
  stream.avail_in = static_cast<uInt>(archive_.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return base::Internal("zlib did not compress everything");
  return out;
}

}  // namespace understudy::cli
