// SPDX-License-Identifier: Apache-2.0
#include "tls/certificate_authority.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/ids.h"
#include "tls/openssl.h"

namespace understudy::tls {
namespace {

using base::InvalidArgument;
using base::Status;

int64_t Seconds(base::Duration time) { return time / std::chrono::seconds(1); }

base::Result<std::string> CertificateText(X509* certificate) {
  const BioPtr writer = NewWriter();
  if (PEM_write_bio_X509(writer.get(), certificate) != 1) return OpenSslFailure("a certificate");
  return TextOf(writer);
}

// 126 random bits, positive and of constant length.
Status SetSerial(env::Env& env, X509* certificate) {
  std::array<uint8_t, 16> bytes{};
  base::StoreLe(bytes.data(), env.Random());
  base::StoreLe(bytes.data() + 8, env.Random());
  bytes[0] = static_cast<uint8_t>((bytes[0] & 0x3f) | 0x40);
  const std::unique_ptr<BIGNUM, FreeWith<BN_free>> number(
      BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  if (BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return OpenSslFailure("a serial number");
  }
  return {};
}

Status AddEntry(X509_NAME* subject, const char* field, std::string_view text) {
  if (X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(text.data()),
                                 static_cast<int>(text.size()), -1, 0) != 1) {
    return OpenSslFailure("a certificate's subject");
  }
  return {};
}

Status SetSubject(X509* certificate, std::string_view group, Kind kind, std::string_view name) {
  X509_NAME* const subject = X509_get_subject_name(certificate);
  RETURN_IF_ERROR(AddEntry(subject, "O", group));
  RETURN_IF_ERROR(AddEntry(subject, "OU", KindName(kind)));
  return AddEntry(subject, "CN", name);
}

Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslFailure("a certificate's extension");
  }
  return {};
}

void SetTimes(X509* certificate, base::WallTime now, base::WallTime ends) {
  ASN1_TIME_set(X509_getm_notBefore(certificate), now.unix_ms / 1000 - Seconds(kBackdated));
  ASN1_TIME_set(X509_getm_notAfter(certificate), ends.unix_ms / 1000);
}

bool IsIpAddress(const std::string& host) {
  std::array<uint8_t, sizeof(in6_addr)> unused{};
  return inet_pton(AF_INET, host.c_str(), unused.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), unused.data()) == 1;
}

bool IsHostName(const std::string& host) {
  return !host.empty() && host.size() <= kHostBytesMax &&
         std::all_of(host.begin(), host.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
         });
}

// "DNS:…,IP:…" as OpenSSL's configuration writes it; a host with anything of that syntax in it is
// refused.
base::Result<std::string> AlternativeNames(Kind kind, const std::vector<std::string>& hosts) {
  if (hosts.size() > kHostsMax) {
    return InvalidArgument(
        fmt::format("a certificate names {} hosts, allowed are {}", hosts.size(), kHostsMax));
  }
  std::string names;
  if (kind == Kind::kServer) names = fmt::format("DNS:{}", kServerHost);
  for (const std::string& host : hosts) {
    if (!IsIpAddress(host) && !IsHostName(host)) {
      return InvalidArgument(fmt::format("\"{}\" is no host that a certificate can name", host));
    }
    names +=
        fmt::format("{}{}:{}", names.empty() ? "" : ",", IsIpAddress(host) ? "IP" : "DNS", host);
  }
  return names;
}

Status Finish(X509* certificate, EVP_PKEY* signer) {
  if (X509_sign(certificate, signer, EVP_sha256()) == 0) return OpenSslFailure("a signature");
  return {};
}

Status AddEndExtensions(X509* certificate, X509* issuer, Kind kind, const std::string& names) {
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_key_usage, "critical,digitalSignature"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_ext_key_usage,
                               kind == Kind::kServer ? "serverAuth,clientAuth" : "clientAuth"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_authority_key_identifier, "keyid"));
  return names.empty() ? Status() : AddExtension(certificate, issuer, NID_subject_alt_name, names);
}

// The key of a request whose sender has it.
base::Result<KeyPtr> KeyOfRequest(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return InvalidArgument("the signing request is too long");
  const BioPtr reader = ReaderOf(pem);
  const RequestPtr request(PEM_read_bio_X509_REQ(reader.get(), nullptr, nullptr, nullptr));
  ClearErrors();
  if (request == nullptr) return InvalidArgument("there is no signing request in PEM");
  KeyPtr key(X509_REQ_get_pubkey(request.get()));
  const bool signed_by_it = key != nullptr && X509_REQ_verify(request.get(), key.get()) == 1;
  ClearErrors();
  if (!signed_by_it) return InvalidArgument("the signing request was not made with its own key");
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC || EVP_PKEY_get_bits(key.get()) != 256) {
    return InvalidArgument("the signing request's key is not on the curve P-256");
  }
  return key;
}

}  // namespace

std::string HostOf(std::string_view address) {
  if (address.starts_with("unix:")) return "";
  std::string_view host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return std::string(host);
}

std::vector<std::string> HostsOf(const std::vector<std::string>& addresses) {
  std::vector<std::string> hosts = {"localhost", "127.0.0.1"};
  for (const std::string& address : addresses) {
    const std::string host = HostOf(address);
    if (!host.empty() && host != "0.0.0.0" && host != "::" &&
        std::find(hosts.begin(), hosts.end(), host) == hosts.end()) {
      hosts.push_back(host);
    }
  }
  return hosts;
}

base::Result<std::string> NewKey() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const BioPtr writer = NewWriter();
  if (key == nullptr || PEM_write_bio_PrivateKey(writer.get(), key.get(), nullptr, nullptr, 0,
                                                 nullptr, nullptr) != 1) {
    return OpenSslFailure("a private key");
  }
  return TextOf(writer);
}

base::Result<std::string> NewRequest(std::string_view key_pem) {
  ASSIGN_OR_RETURN(const KeyPtr key, ReadKey(key_pem));
  const RequestPtr request(X509_REQ_new());
  const BioPtr writer = NewWriter();
  if (X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(writer.get(), request.get()) != 1) {
    return OpenSslFailure("a signing request");
  }
  return TextOf(writer);
}

base::Result<CertificateAuthority> CertificateAuthority::Create(env::Env& env,
                                                                const std::string& group) {
  RETURN_IF_ERROR(base::CheckName("group name", group));
  ASSIGN_OR_RETURN(const std::string key_pem, NewKey());
  ASSIGN_OR_RETURN(const KeyPtr key, ReadKey(key_pem));
  const X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  RETURN_IF_ERROR(SetSerial(env, certificate.get()));
  RETURN_IF_ERROR(SetSubject(certificate.get(), group, Kind::kAuthority, group));
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  X509_set_pubkey(certificate.get(), key.get());
  const base::WallTime now = env.WallNow();
  SetTimes(certificate.get(), now, {now.unix_ms + Seconds(kAuthorityLifetime) * 1000});
  X509* const raw = certificate.get();
  RETURN_IF_ERROR(AddExtension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(raw, raw, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(Finish(raw, key.get()));
  ASSIGN_OR_RETURN(const std::string text, CertificateText(raw));
  return FromPem(key_pem + text);
}

base::Result<CertificateAuthority> CertificateAuthority::FromPem(std::string_view pem) {
  ASSIGN_OR_RETURN(const KeyPtr key, ReadKey(pem));
  ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(pem));
  ASSIGN_OR_RETURN(const Certificate parsed, ParseCertificate(pem));
  if (parsed.kind != Kind::kAuthority) {
    return InvalidArgument(fmt::format("holds {}, not an authority", parsed.Holder()));
  }
  const bool fits = X509_check_private_key(certificate.get(), key.get()) == 1;
  ClearErrors();
  if (!fits) return InvalidArgument("holds a key and a certificate that do not fit each other");
  CertificateAuthority authority;
  authority.pem_ = pem;
  ASSIGN_OR_RETURN(authority.certificate_pem_, CertificateText(certificate.get()));
  authority.group_ = parsed.group;
  authority.ends_ = parsed.ends;
  return authority;
}

base::Result<std::string> CertificateAuthority::Sign(env::Env& env, std::string_view request_pem,
                                                     const Order& order) const {
  RETURN_IF_ERROR(base::CheckName(fmt::format("{} name", KindName(order.kind)), order.name));
  if (order.kind == Kind::kAuthority) return InvalidArgument("an authority signs no other");
  ASSIGN_OR_RETURN(const std::string names, AlternativeNames(order.kind, order.hosts));
  ASSIGN_OR_RETURN(const KeyPtr holder, KeyOfRequest(request_pem));
  ASSIGN_OR_RETURN(const KeyPtr key, ReadKey(pem_));
  ASSIGN_OR_RETURN(const X509Ptr issuer, ReadCertificate(pem_));
  const base::WallTime now = env.WallNow();
  const int64_t lifetime =
      Seconds(std::clamp(order.lifetime, kCertificateLifetimeMin, kCertificateLifetimeMax));
  const base::WallTime ends{std::min(now.unix_ms + lifetime * 1000, ends_.unix_ms)};
  const X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  RETURN_IF_ERROR(SetSerial(env, certificate.get()));
  RETURN_IF_ERROR(SetSubject(certificate.get(), group_, order.kind, order.name));
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  X509_set_pubkey(certificate.get(), holder.get());
  SetTimes(certificate.get(), now, ends);
  RETURN_IF_ERROR(AddEndExtensions(certificate.get(), issuer.get(), order.kind, names));
  RETURN_IF_ERROR(Finish(certificate.get(), key.get()));
  ASSIGN_OR_RETURN(const std::string text, CertificateText(certificate.get()));
  return text + certificate_pem_;
}

}  // namespace understudy::tls
