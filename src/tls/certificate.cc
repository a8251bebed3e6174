// SPDX-License-Identifier: Apache-2.0
#include "tls/certificate.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509_vfy.h>

#include <array>
#include <ctime>

#include "base/bytes.h"
#include "base/hex.h"
#include "base/ids.h"
#include "tls/openssl.h"

namespace understudy::tls {
namespace {

using base::InvalidArgument;

// The subject's entry, which must be there once.
base::Result<std::string> Entry(const X509_NAME* subject, int nid, const char* what) {
  const int at = X509_NAME_get_index_by_NID(subject, nid, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, nid, at) >= 0) {
    return InvalidArgument(fmt::format("the certificate's subject does not name one {}", what));
  }
  const ASN1_STRING* const value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) return InvalidArgument(fmt::format("the certificate's {} is not a text", what));
  std::string text(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  RETURN_IF_ERROR(base::CheckName(what, text).WithContext("certificate"));
  return text;
}

base::Result<base::WallTime> TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return InvalidArgument("the certificate has no time");
  return base::WallTime{static_cast<int64_t>(timegm(&parts)) * 1000};
}

std::string SerialOf(const X509* certificate) {
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(certificate);
  return base::HexEncode(
      {ASN1_STRING_get0_data(serial), static_cast<size_t>(ASN1_STRING_length(serial))});
}

base::Result<Certificate> Read(const X509* from) {
  Certificate certificate;
  const X509_NAME* const subject = X509_get_subject_name(from);
  ASSIGN_OR_RETURN(certificate.group, Entry(subject, NID_organizationName, "group"));
  ASSIGN_OR_RETURN(const std::string kind, Entry(subject, NID_organizationalUnitName, "kind"));
  ASSIGN_OR_RETURN(certificate.name, Entry(subject, NID_commonName, "name"));
  const std::optional<Kind> known = KindFromName(kind);
  if (!known)
    return InvalidArgument(fmt::format("the certificate is of an unknown kind, {}", kind));
  certificate.kind = *known;
  certificate.serial = SerialOf(from);
  ASSIGN_OR_RETURN(const base::WallTime begins, TimeOf(X509_get0_notBefore(from)));
  ASSIGN_OR_RETURN(certificate.ends, TimeOf(X509_get0_notAfter(from)));
  certificate.issued = {begins.unix_ms + kBackdated / std::chrono::milliseconds(1)};
  return certificate;
}

base::Status AddAuthorities(std::string_view pem, X509_STORE* store) {
  ASSIGN_OR_RETURN(const std::vector<std::string> authorities, SplitChain(pem));
  for (const std::string& text : authorities) {
    ASSIGN_OR_RETURN(const X509Ptr authority, ReadCertificate(text));
    if (X509_STORE_add_cert(store, authority.get()) != 1) return OpenSslFailure("an authority");
  }
  return {};
}

}  // namespace

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kServer: return "server";
    case Kind::kClient: return "client";
    case Kind::kAuthority: return "authority";
  }
  return "";
}

std::optional<Kind> KindFromName(std::string_view name) {
  for (const Kind kind : {Kind::kServer, Kind::kClient, Kind::kAuthority}) {
    if (KindName(kind) == name) return kind;
  }
  return std::nullopt;
}

std::string Certificate::Holder() const { return fmt::format("{} {}", KindName(kind), name); }

base::Result<Certificate> ParseCertificate(std::string_view pem) {
  if (pem.size() > kPemBytesMax) {
    return InvalidArgument(
        fmt::format("is longer than the {} bytes of a certificate", kPemBytesMax));
  }
  ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(pem));
  return Read(certificate.get());
}

base::Result<std::vector<std::string>> SplitChain(std::string_view pem) {
  if (pem.size() > kPemBytesMax) {
    return InvalidArgument(fmt::format("is longer than the {} bytes of a chain", kPemBytesMax));
  }
  std::vector<std::string> chain;
  const BioPtr reader = ReaderOf(pem);
  while (true) {
    const X509Ptr next(PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr));
    ClearErrors();
    if (next == nullptr) break;
    const BioPtr writer = NewWriter();
    if (PEM_write_bio_X509(writer.get(), next.get()) != 1) return OpenSslFailure("a certificate");
    chain.push_back(TextOf(writer));
    if (chain.size() > kChainMax) {
      return InvalidArgument(fmt::format("has more than {} certificates", kChainMax));
    }
  }
  if (chain.empty()) return InvalidArgument("has no certificate in PEM");
  return chain;
}

base::Result<std::string> Fingerprint(std::string_view pem) {
  ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(pem));
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest{};
  unsigned size = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1) {
    return OpenSslFailure("a fingerprint");
  }
  return base::HexEncode({digest.data(), size});
}

std::string Sha256Hex(std::string_view text) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return base::HexEncode(digest);
}

base::Result<Certificate> VerifyCertificate(std::string_view leaf_pem,
                                            std::string_view authority_pem, base::WallTime now) {
  ASSIGN_OR_RETURN(const X509Ptr leaf, ReadCertificate(leaf_pem));
  ASSIGN_OR_RETURN(Certificate certificate, Read(leaf.get()));
  const StorePtr store(X509_STORE_new());
  RETURN_IF_ERROR(AddAuthorities(authority_pem, store.get()));
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr) != 1) {
    return OpenSslFailure("a verification");
  }
  X509_STORE_CTX_set_time(context.get(), 0, static_cast<time_t>(now.unix_ms / 1000));
  X509_STORE_CTX_set_purpose(context.get(), certificate.kind == Kind::kServer
                                                ? X509_PURPOSE_SSL_SERVER
                                                : X509_PURPOSE_SSL_CLIENT);
  const bool verified = X509_verify_cert(context.get()) == 1;
  ClearErrors();
  if (!verified || certificate.kind == Kind::kAuthority) {
    const int error = X509_STORE_CTX_get_error(context.get());
    return InvalidArgument(fmt::format(
        "the certificate of {} of group {} is refused: {}", certificate.Holder(), certificate.group,
        verified ? "it is of no end of a connection" : X509_verify_cert_error_string(error)));
  }
  return certificate;
}

}  // namespace understudy::tls
