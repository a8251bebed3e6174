// SPDX-License-Identifier: Apache-2.0
// The generation file: its name, its header, and PartStream, which reads parts out of it.
//
// Byte table: docs/formats/log.md. A file is the header (176 bytes), then parts. Zero bytes after a
// part end the content. The header repeats the state before the file's first part, so that a log
// can be read from any generation on, even one that begins in the middle of a record.
// Threading: GenerationHeader is a value; PartStream is thread-compatible and borrows its File.
// Errors: kCorruption says what is wrong at which offset; kIoError and the like come from the file.
#pragma once

#include <optional>
#include <string>

#include "env/env.h"
#include "log/record_chain.h"

namespace understudy::log {

inline constexpr size_t kGenerationHeaderBytes = 176;
inline constexpr std::string_view kGenerationSuffix = ".ulog";
// How much PartStream reads at once where there is that much.
inline constexpr size_t kReadBytesTarget = 256 << 10;

struct GenerationHeader {
  base::DatabaseId database{};
  base::Generation number{};
  base::WallTime created{};
  RecordChain before{};  // the log up to the file's first part
  // The generation right before this one and its length; {0}, 0 for the first of a log.
  base::Generation previous{};
  uint64_t previous_bytes = 0;

  // The seq of the last record that does not start in this or a later file.
  base::Seq seq_before() const;
};

std::string GenerationName(base::Generation generation);  // "000000000000001f.ulog"
std::optional<base::Generation> GenerationOfName(std::string_view name);

base::Bytes EncodeGenerationHeader(const GenerationHeader& header);
// kCorruption for bytes that are no header, kInvalidArgument for a newer version.
base::Result<GenerationHeader> ParseGenerationHeader(base::ByteView bytes);
// Reads and checks the header of an open file; kCorruption when the file is shorter.
base::Result<GenerationHeader> ReadGenerationHeader(env::File& file);

class PartStream {
 public:
  PartStream(env::File* file, uint64_t offset) : file_(file), offset_(offset) {}

  // The next part before `limit` (a file offset). Nothing at the limit, or where zero bytes begin:
  // offset() < limit tells. After a failure, offset() is where the bad part begins. The part
  // borrows the buffer until the next call.
  base::Result<std::optional<RecordPart>> Next(uint64_t limit);
  uint64_t offset() const { return offset_; }

  // Goes on elsewhere, without anything that was read before.
  void Seek(env::File* file, uint64_t offset);
  void ReleaseMemory();

 private:
  base::Result<bool> Fill(size_t bytes, uint64_t limit);

  env::File* file_;
  uint64_t offset_;     // of the next part
  base::Bytes buffer_;  // file bytes from buffer_offset_ on
  size_t buffered_ = 0;
  uint64_t buffer_offset_ = 0;
};

}  // namespace understudy::log
