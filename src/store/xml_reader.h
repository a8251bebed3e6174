// SPDX-License-Identifier: Apache-2.0
// ReadXml: the little XML that S3 answers with: elements and text. Attributes, comments and
// processing instructions are skipped; document types and CDATA are refused.
//
// Bytes are not trusted: depth and number of elements are bounded, and anything odd is kCorruption.
// Threading: pure function.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace understudy::store {

inline constexpr size_t kXmlDepthMax = 16;
inline constexpr size_t kXmlElementsMax = 100'000;

struct XmlElement {
  std::string name;
  std::string text;  // of itself, without that of its children
  std::vector<XmlElement> children;

  // The first child of that name; nothing if there is none.
  const XmlElement* Child(std::string_view child) const;
  std::string_view TextOf(std::string_view child) const;  // empty if there is none
};

base::Result<XmlElement> ReadXml(std::string_view text);

}  // namespace understudy::store
