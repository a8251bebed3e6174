// SPDX-License-Identifier: Apache-2.0
#include "tls/openssl.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

namespace understudy::tls {
namespace {

// A text with a passphrase is refused, instead of asking the terminal for it.
int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

BioPtr ReaderOf(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

BioPtr NewWriter() { return BioPtr(BIO_new(BIO_s_mem())); }

std::string TextOf(const BioPtr& writer) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(writer.get(), &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

void ClearErrors() { ERR_clear_error(); }

base::Status OpenSslFailure(std::string_view what) {
  char why[256] = "no reason given";
  if (const unsigned long error = ERR_get_error(); error != 0) {
    ERR_error_string_n(error, why, sizeof why);
  }
  ERR_clear_error();
  return base::Internal(fmt::format("{}: {}", what, why));
}

base::Result<KeyPtr> ReadKey(std::string_view pem) {
  const BioPtr reader = ReaderOf(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassphrase, nullptr));
  ClearErrors();
  if (key == nullptr) {
    return base::InvalidArgument(
        "has no private key in PEM (one with a passphrase cannot be read)");
  }
  return key;
}

base::Result<X509Ptr> ReadCertificate(std::string_view pem) {
  const BioPtr reader = ReaderOf(pem);
  X509Ptr certificate(PEM_read_bio_X509(reader.get(), nullptr, NoPassphrase, nullptr));
  ClearErrors();
  if (certificate == nullptr) return base::InvalidArgument("has no certificate in PEM");
  return certificate;
}

}  // namespace understudy::tls
