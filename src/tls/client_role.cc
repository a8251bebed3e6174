// SPDX-License-Identifier: Apache-2.0
#include "tls/client_role.h"

#include <fmt/format.h>

#include <algorithm>

#include "tls/certificate.h"
#include "tls/openssl.h"

namespace understudy::tls {
namespace {

constexpr std::string_view kRoleDomain = ".role.understudy";

using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

}  // namespace

std::string RoleHost(base::Role role) {
  return fmt::format("{}{}", base::RoleName(role), kRoleDomain);
}

base::Result<std::optional<base::Role>> RoleOfHost(std::string_view host) {
  if (!host.ends_with(kRoleDomain)) return std::optional<base::Role>();
  const auto role = base::RoleFromName(host.substr(0, host.size() - kRoleDomain.size()));
  if (role) return role;
  return base::InvalidArgument(
      fmt::format("\"{}\" is no role: viewer, operator or admin", host.substr(0, 64)));
}

base::Result<base::Role> RoleOfCertificate(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return base::InvalidArgument("is too long for a certificate");
  ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(pem));
  int critical = 0;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, &critical, nullptr)));
  ClearErrors();
  // -1: there are none. Else what could not be read must not pass for "no role".
  if (names == nullptr && critical != -1) {
    return base::InvalidArgument("the certificate's alternative names cannot be read");
  }
  base::Role least = base::Role::kAdmin;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    const ASN1_STRING* const text = name->d.dNSName;
    ASSIGN_OR_RETURN(const std::optional<base::Role> role,
                     RoleOfHost({reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                 static_cast<size_t>(ASN1_STRING_length(text))}));
    if (role) least = std::min(least, *role);
  }
  return least;
}

}  // namespace understudy::tls
