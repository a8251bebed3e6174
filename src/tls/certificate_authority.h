// SPDX-License-Identifier: Apache-2.0
// CertificateAuthority: the key that signs a group's certificates, and keys and requests for it.
//
// Keys are on the curve P-256. A key is made where it is used and never travels; what travels is a
// signing request, of which only the key is taken: who the certificate is for is decided by the one
// who signs. Threading: thread-compatible; const methods may run at once. Errors: kInvalidArgument
// for texts that are not what they should be, kInternal from OpenSSL.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "env/env.h"
#include "tls/certificate.h"

namespace understudy::tls {

inline constexpr base::Duration kAuthorityLifetime = std::chrono::hours(24 * 3650);
inline constexpr base::Duration kCertificateLifetimeMin = std::chrono::seconds(3);
inline constexpr base::Duration kCertificateLifetimeMax = std::chrono::hours(24 * 825);
inline constexpr size_t kHostsMax = 16;
inline constexpr size_t kHostBytesMax = 253;
// Every server's certificate has this DNS name; connections ask for it instead of an address's
// host.
inline constexpr const char* kServerHost = "server.understudy";

// "192.0.2.1:7400" -> "192.0.2.1", "[::1]:1" -> "::1"; empty for a unix socket.
std::string HostOf(std::string_view address);
// What the certificate of a server at these addresses names: their hosts, and this machine's own.
std::vector<std::string> HostsOf(const std::vector<std::string>& addresses);

// A new private key, PEM.
base::Result<std::string> NewKey();
// A signing request for that key, PEM.
base::Result<std::string> NewRequest(std::string_view key_pem);

class CertificateAuthority {
 public:
  // A new one.
  static base::Result<CertificateAuthority> Create(env::Env& env, const std::string& group);
  // From what ToPem gave.
  static base::Result<CertificateAuthority> FromPem(std::string_view pem);

  // Key and certificate: a secret.
  const std::string& pem() const { return pem_; }
  const std::string& certificate_pem() const { return certificate_pem_; }
  const std::string& group() const { return group_; }

  struct Order {
    Kind kind = Kind::kClient;
    std::string name;
    std::vector<std::string> hosts =
        {};                     // addresses and host names, for programs that look at them
    base::Duration lifetime{};  // cut to the authority's own
  };
  // The certificate and the authority's, PEM. The request's own signature is checked: who sends it
  // has the key.
  base::Result<std::string> Sign(env::Env& env, std::string_view request_pem,
                                 const Order& order) const;

 private:
  CertificateAuthority() = default;

  std::string pem_;
  std::string certificate_pem_;
  std::string group_;
  base::WallTime ends_;
};

}  // namespace understudy::tls
