// SPDX-License-Identifier: Apache-2.0
// What a certificate of a group says, and whether it is one.
//
// A group has its own certificate authority. The subject of a certificate names the group (O), what
// its holder is (OU: server, client or authority) and the holder (CN: the server's name, a person's
// name). Nothing else is looked at: addresses change, names do not (docs/design/0007-joining.md).
// Certificates are passed around as PEM texts of at most kPemBytesMax.
//
// Threading: values and pure functions. Errors: kInvalidArgument for a text that is no such
// certificate; those of Verify say which rule was broken.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace understudy::tls {

inline constexpr size_t kPemBytesMax = 64 << 10;
inline constexpr size_t kChainMax = 8;
// A certificate is valid from so long before it was made, so that clocks may differ.
inline constexpr base::Duration kBackdated = std::chrono::minutes(5);

enum class Kind { kServer, kClient, kAuthority };
std::string_view KindName(Kind kind);  // "server", "client", "authority"
std::optional<Kind> KindFromName(std::string_view name);

struct Certificate {
  std::string group;
  Kind kind = Kind::kClient;
  std::string name;
  std::string serial;  // hexadecimal
  base::WallTime issued;
  base::WallTime ends;

  base::Duration lifetime() const {
    return std::chrono::milliseconds(ends.unix_ms - issued.unix_ms);
  }
  // When a new one is asked for: after two thirds of its life.
  base::WallTime renew_at() const { return {ends.unix_ms - (ends.unix_ms - issued.unix_ms) / 3}; }
  // "server s1", for messages.
  std::string Holder() const;
};

// Of the first certificate in `pem`.
base::Result<Certificate> ParseCertificate(std::string_view pem);
// Each certificate of `pem` as a text of its own; kInvalidArgument for none or more than kChainMax.
base::Result<std::vector<std::string>> SplitChain(std::string_view pem);

// SHA-256 of the first certificate's DER, 64 hexadecimal digits.
base::Result<std::string> Fingerprint(std::string_view pem);
// Of a text, such as a token's secret.
std::string Sha256Hex(std::string_view text);

// Whether `leaf_pem` was signed by `authority_pem` (which may hold several authorities), is valid
// at `now` and may be used at the end of a connection that its kind has: a client's certificate is
// none of a server. ENSURES on ok: what the certificate says.
base::Result<Certificate> VerifyCertificate(std::string_view leaf_pem,
                                            std::string_view authority_pem, base::WallTime now);

}  // namespace understudy::tls
