// SPDX-License-Identifier: Apache-2.0
// Fuzz target: an encrypted object of which a byte is another one is refused, and so are any bytes
// that were not encrypted; what is not changed comes back.
//   input: where (2 bytes), what is changed there (1 byte), the content
#include <algorithm>

#include "base/check.h"
#include "store/sealed_reader.h"
#include "testing/mem_env.h"

namespace understudy {
namespace {

class BytesReader final : public store::ObjectReader {
 public:
  explicit BytesReader(base::Bytes bytes) : bytes_(std::move(bytes)) {}
  base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    if (offset >= bytes_.size()) return size_t{0};
    const size_t some = std::min<size_t>(out.size(), bytes_.size() - offset);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), some, out.begin());
    return some;
  }
  base::Result<uint64_t> Size() override { return uint64_t{bytes_.size()}; }
  void DropFromCache(uint64_t, uint64_t) override {}

 private:
  const base::Bytes bytes_;
};

base::Result<base::Bytes> Read(base::Bytes stored, const store::RepositoryKeys& keys) {
  ASSIGN_OR_RETURN(
      const auto reader,
      store::SealedReader::Open(std::make_unique<BytesReader>(std::move(stored)), keys, "object"));
  ASSIGN_OR_RETURN(const uint64_t size, reader->Size());
  base::Bytes content(size);
  ASSIGN_OR_RETURN(const size_t got, reader->ReadAt(0, content));
  CHECK(got == size);
  return content;
}

void Run(base::ByteView input) {
  static const store::RepositoryKeys kKeys = [] {
    test::MemEnv env;
    return store::RepositoryKeys::Parse(store::MakeKeyFile(env), "keys").value();
  }();
  CHECK(!Read({input.begin(), input.end()}, kKeys).ok());
  if (input.size() < 3) return;
  const base::Bytes content(input.begin() + 3, input.end());
  const store::Sealer sealer(kKeys.first(), "object", store::Salt{});
  base::Bytes stored(sealer.header().begin(), sealer.header().end());
  const uint64_t chunks = store::SealedChunks(content.size());
  for (uint64_t chunk = 0; chunk < chunks; ++chunk) {
    const base::ByteView rest = base::ByteView(content).subspan(chunk * store::kSealedChunk);
    sealer.Seal(chunk, chunk + 1 == chunks,
                rest.first(std::min<size_t>(rest.size(), store::kSealedChunk)), stored);
  }
  CHECK(Read(stored, kKeys).value() == content);
  if (input[2] == 0) return;
  stored[base::LoadLe<uint16_t>(input.data()) % stored.size()] ^= input[2];
  CHECK(!Read(stored, kKeys).ok());
}

}  // namespace
}  // namespace understudy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  understudy::Run({data, size});
  return 0;
}
