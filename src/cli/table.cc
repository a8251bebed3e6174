// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "cli/human.h"
#include "cli/text_width.h"

namespace understudy::cli {
namespace {

constexpr std::string_view kGap = "  ";
constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kGreen = "\x1b[32m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kReset = "\x1b[0m";

// The unit in a key ("duration_ms") is for programs; a cell says its own.
std::string Header(std::string_view key) {
  constexpr std::string_view kUnit = "_ms";
  if (key.ends_with(kUnit)) key.remove_suffix(kUnit.size());
  std::string text(key);
  for (char& c : text) {
    c = c == '_' ? ' ' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return text;
}

Align AlignOf(CellKind kind) {
  switch (kind) {
    case CellKind::kNumber:
    case CellKind::kBytes:
    case CellKind::kRate:
    case CellKind::kDuration: return Align::kRight;
    case CellKind::kText:
    case CellKind::kState:
    case CellKind::kList: return Align::kLeft;
  }
  return Align::kLeft;
}

std::string_view ColourOf(std::string_view state) {
  constexpr std::array<std::string_view, 8> kGood = {"Healthy", "Mounted",  "running", "up",
                                                     "open",    "complete", "ok",      "verified"};
  constexpr std::array<std::string_view, 9> kBad = {
      "Failed", "FailedAndSuspended", "ServiceDown", "dead", "down", "cut", "failed",
      "bad",    "Dismounted"};
  if (std::find(kGood.begin(), kGood.end(), state) != kGood.end()) return kGreen;
  if (std::find(kBad.begin(), kBad.end(), state) != kBad.end()) return kRed;
  return state == "-" ? std::string_view() : kYellow;
}

std::string Coloured(std::string_view colour, const std::string& text) {
  if (colour.empty()) return text;
  return std::string(colour) + text + std::string(kReset);
}

std::string JoinList(const Json& value) {
  std::string text;
  for (const Json& item : value) {
    if (!text.empty()) text += ", ";
    text += item.is_string() ? item.get<std::string>() : ToText(item);
  }
  return text.empty() ? "-" : text;
}

std::string RenderNumber(const Json& value, CellKind kind) {
  if (value.is_number_float()) {
    if (kind == CellKind::kDuration) {
      return FormatDuration(base::Duration(static_cast<int64_t>(value.get<double>() * 1e6)));
    }
    return ToText(value);
  }
  if (value.is_number_integer() && !value.is_number_unsigned() && value.get<int64_t>() < 0) {
    return ToText(value);
  }
  const auto number = value.get<uint64_t>();
  if (kind == CellKind::kBytes) return FormatBytes(number);
  if (kind == CellKind::kRate) return FormatRate(static_cast<double>(number));
  if (kind == CellKind::kDuration) {
    return FormatDuration(base::Duration(static_cast<int64_t>(number) * 1'000'000));
  }
  return kind == CellKind::kNumber ? FormatCount(number) : ToText(value);
}

}  // namespace

std::string RenderCell(const Json& object, const Column& column) {
  const auto found = object.find(column.key);
  if (found == object.end() || found->is_null()) return "-";
  const Json& value = *found;
  if (value.is_number()) return RenderNumber(value, column.kind);
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) return Printable(JoinList(value));
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.empty() ? "-" : Printable(text);
  }
  return ToText(value);
}

std::string RenderTable(const Json& rows, const std::vector<Column>& columns,
                        const TableStyle& style) {
  std::vector<std::vector<std::string>> cells;
  std::vector<size_t> widths;
  for (const Column& column : columns) widths.push_back(DisplayWidth(Header(column.key)));
  for (const Json& row : rows) {
    auto& line = cells.emplace_back();
    for (size_t i = 0; i < columns.size(); ++i) {
      line.push_back(RenderCell(row, columns[i]));
      widths[i] = std::max(widths[i], DisplayWidth(line.back()));
    }
  }
  std::string text;
  const auto add_line = [&](const auto& cell_of, const auto& colour_of) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string& cell = cell_of(i);
      const Align align = AlignOf(columns[i].kind);
      // No spaces at the end of a line: they wrap on narrow terminals.
      const bool last = i + 1 == columns.size();
      const size_t fill = widths[i] - DisplayWidth(cell);
      if (align == Align::kRight) line.append(fill, ' ');
      line += style.colour ? Coloured(colour_of(i), cell) : cell;
      if (align == Align::kLeft && !last) line.append(fill, ' ');
      if (!last) line += kGap;
    }
    text += line + "\n";
  };
  std::vector<std::string> headers;
  for (const Column& column : columns) headers.push_back(Header(column.key));
  add_line([&](size_t i) -> const std::string& { return headers[i]; },
           [](size_t) { return kBold; });
  for (const auto& line : cells) {
    add_line([&](size_t i) -> const std::string& { return line[i]; },
             [&](size_t i) {
               return columns[i].kind == CellKind::kState ? ColourOf(line[i]) : std::string_view();
             });
  }
  return text;
}

std::string RenderFields(const Json& object, const std::vector<Column>& columns,
                         const TableStyle& style) {
  size_t width = 0;
  for (const Column& column : columns) width = std::max(width, DisplayWidth(column.key));
  std::string text;
  for (const Column& column : columns) {
    std::string name = column.key;
    std::replace(name.begin(), name.end(), '_', ' ');
    const std::string cell = RenderCell(object, column);
    const bool coloured = style.colour && column.kind == CellKind::kState;
    text += Pad(name, width, Align::kLeft);
    text += kGap;
    text += coloured ? Coloured(ColourOf(cell), cell) : cell;
    text += '\n';
  }
  return text;
}

}  // namespace understudy::cli
