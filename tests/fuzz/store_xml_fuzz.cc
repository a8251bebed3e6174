// SPDX-License-Identifier: Apache-2.0
// Fuzz target: XML of any bytes is refused or read, never deeper or larger than allowed.
#include "base/check.h"
#include "store/xml_reader.h"

namespace understudy {
namespace {

size_t Count(const store::XmlElement& element, size_t depth) {
  CHECK(depth <= store::kXmlDepthMax && !element.name.empty());
  size_t count = 1;
  for (const store::XmlElement& child : element.children) count += Count(child, depth + 1);
  return count;
}

}  // namespace
}  // namespace understudy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto xml = understudy::store::ReadXml({reinterpret_cast<const char*>(data), size});
  CHECK(!xml.ok() || understudy::Count(*xml, 1) <= understudy::store::kXmlElementsMax);
  return 0;
}
