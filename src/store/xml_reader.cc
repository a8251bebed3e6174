// SPDX-License-Identifier: Apache-2.0
#include "store/xml_reader.h"

#include <fmt/format.h>

#include <charconv>

namespace understudy::store {
namespace {

constexpr uint32_t kCodePointMax = 0x10ffff;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == ':';
}

void AppendUtf8(uint32_t point, std::string& to) {
  const auto put = [&to](uint32_t byte) { to += static_cast<char>(byte); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0 | point >> 6);
    put(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    put(0xe0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  } else {
    put(0xf0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3f));
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  }
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  base::Result<XmlElement> Run() {
    RETURN_IF_ERROR(SkipMisc());
    XmlElement root;
    RETURN_IF_ERROR(Element(root, 1));
    RETURN_IF_ERROR(SkipMisc());
    if (at_ != text_.size()) return Wrong("text after the end");
    return root;
  }

 private:
  base::Status Wrong(std::string_view what) const {
    return base::Corruption(fmt::format("no XML that is understood: {} at byte {}", what, at_));
  }
  bool Starts(std::string_view with) const { return text_.substr(at_).starts_with(with); }
  void SkipSpace() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  base::Status SkipPast(std::string_view end) {
    const size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) return Wrong("something that does not end");
    at_ = found + end.size();
    return {};
  }
  // Comments, processing instructions, white space.
  base::Status SkipMisc() {
    while (true) {
      SkipSpace();
      if (Starts("<?")) {
        RETURN_IF_ERROR(SkipPast("?>"));
      } else if (Starts("<!--")) {
        RETURN_IF_ERROR(SkipPast("-->"));
      } else {
        return {};
      }
    }
  }

  std::string_view Name() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameChar(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  base::Status SkipAttributes() {
    while (true) {
      SkipSpace();
      if (at_ >= text_.size()) return Wrong("a tag that does not end");
      if (text_[at_] == '>' || text_[at_] == '/') return {};
      if (Name().empty()) return Wrong("an attribute without a name");
      SkipSpace();
      if (!Starts("=")) return Wrong("an attribute without a value");
      ++at_;
      SkipSpace();
      if (!Starts("\"") && !Starts("'")) return Wrong("an attribute without quotes");
      const char quote = text_[at_++];
      RETURN_IF_ERROR(SkipPast({&quote, 1}));
    }
  }

  base::Status Element(XmlElement& element, size_t depth) {
    if (depth > kXmlDepthMax) return Wrong("too many elements in each other");
    if (++elements_ > kXmlElementsMax) return Wrong("too many elements");
    if (!Starts("<")) return Wrong("no element");
    ++at_;
    element.name = Name();
    if (element.name.empty()) return Wrong("an element without a name");
    RETURN_IF_ERROR(SkipAttributes());
    if (Starts("/>")) {
      at_ += 2;
      return {};
    }
    if (!Starts(">")) return Wrong("a tag that does not end");
    ++at_;
    return Content(element, depth);
  }

  base::Status Content(XmlElement& element, size_t depth) {
    while (at_ < text_.size()) {
      if (Starts("</")) {
        at_ += 2;
        if (Name() != element.name) return Wrong("an end of another element");
        SkipSpace();
        if (!Starts(">")) return Wrong("a tag that does not end");
        ++at_;
        return {};
      }
      if (Starts("<!--") || Starts("<?")) {
        RETURN_IF_ERROR(SkipMisc());
      } else if (Starts("<")) {
        element.children.emplace_back();
        RETURN_IF_ERROR(Element(element.children.back(), depth + 1));
      } else if (Starts("&")) {
        RETURN_IF_ERROR(Entity(element.text));
      } else {
        element.text += text_[at_++];
      }
    }
    return Wrong("an element that does not end");
  }

  base::Status Entity(std::string& to) {
    constexpr std::pair<std::string_view, char> kNamed[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (const auto& [name, value] : kNamed) {
      if (!Starts(name)) continue;
      at_ += name.size();
      to += value;
      return {};
    }
    const size_t end = text_.find(';', at_);
    if (!Starts("&#") || end == std::string_view::npos) return Wrong("an unknown entity");
    std::string_view digits = text_.substr(at_ + 2, end - at_ - 2);
    const int number_base = digits.starts_with('x') ? 16 : 10;
    if (number_base == 16) digits.remove_prefix(1);
    uint32_t point = 0;
    const auto [rest, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), point, number_base);
    if (digits.empty() || error != std::errc() || rest != digits.data() + digits.size() ||
        point > kCodePointMax) {
      return Wrong("an unknown character");
    }
    AppendUtf8(point, to);
    at_ = end + 1;
    return {};
  }

  const std::string_view text_;
  size_t at_ = 0;
  size_t elements_ = 0;
};

}  // namespace

const XmlElement* XmlElement::Child(std::string_view child) const {
  for (const XmlElement& one : children) {
    if (one.name == child) return &one;
  }
  return nullptr;
}

std::string_view XmlElement::TextOf(std::string_view child) const {
  const XmlElement* const found = Child(child);
  return found == nullptr ? std::string_view() : std::string_view(found->text);
}

base::Result<XmlElement> ReadXml(std::string_view text) { return Reader(text).Run(); }

}  // namespace understudy::store
