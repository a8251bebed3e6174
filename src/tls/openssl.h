// SPDX-License-Identifier: Apache-2.0
// Owners for OpenSSL's objects, and what its error queue says. For src/tls/ only: the one folder
// that includes OpenSSL. Threading: values; the error queue is the thread's own.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace understudy::tls {

template <auto free_function>
struct FreeWith {
  template <typename Object>
  void operator()(Object* object) const {
    free_function(object);
  }
};
using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, FreeWith<X509_REQ_free>>;
using StorePtr = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;

// A memory BIO that reads `text`, which must outlive it.
BioPtr ReaderOf(std::string_view text);
BioPtr NewWriter();
std::string TextOf(const BioPtr& writer);

// kInternal: OpenSSL refused something that cannot fail but for want of memory.
base::Status OpenSslFailure(std::string_view what);
// Forgets errors that were expected (a text that is not PEM).
void ClearErrors();

// kInvalidArgument when the text has no such thing.
base::Result<KeyPtr> ReadKey(std::string_view pem);
base::Result<X509Ptr> ReadCertificate(std::string_view pem);  // the first one

}  // namespace understudy::tls
