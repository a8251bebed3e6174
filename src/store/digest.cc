// SPDX-License-Identifier: Apache-2.0
#include "store/digest.h"

#include <openssl/evp.h>

#include <array>

#include "base/check.h"
#include "base/hex.h"

namespace understudy::store {
namespace {

base::Bytes Digest(const EVP_MD* kind, base::ByteView bytes) {
  base::Bytes digest(EVP_MAX_MD_SIZE);
  unsigned int length = 0;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, kind, nullptr) == 1);
  digest.resize(length);
  return digest;
}

}  // namespace

std::string Sha256Hex(base::ByteView bytes) { return base::HexEncode(Digest(EVP_sha256(), bytes)); }

std::string Md5Base64(base::ByteView bytes) {
  const base::Bytes digest = Digest(EVP_md5(), bytes);
  std::array<unsigned char, 64> text{};
  const int length = EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(digest.size()));
  return {text.begin(), text.begin() + length};
}

}  // namespace understudy::store
