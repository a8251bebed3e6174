// SPDX-License-Identifier: Apache-2.0
#include "ship/inspector.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/planted.h"

namespace understudy::ship {
namespace {

Inspection Reject(Rejection rejection, base::Status status) {
  Inspection inspection;
  inspection.rejection = rejection;
  inspection.status = std::move(status);
  return inspection;
}

// By the codes of RecordChain::Check.
Rejection RejectionOf(base::Code code) {
  if (code == base::Code::kFenced) return Rejection::kTerm;        // R3
  if (code == base::Code::kDiverged) return Rejection::kChecksum;  // R4
  return Rejection::kSequence;                                     // R1, R2
}

base::Status CheckSender(const InspectionPoint& point, const log::PartHeader& header) {
  if (PLANTED("sender-term-not-checked")) return {};
  if (point.source_term >= point.term_known && header.term <= point.source_term) return {};
  return base::Fenced(
      fmt::format("record {} comes from a server that is mounted in term {}, but term {} is known: "
                  "it is not the active copy any more",
                  ToString(header.position()), point.source_term.value,
                  std::max(point.term_known, header.term).value));
}

}  // namespace

Inspection Inspect(const InspectionPoint& point, base::Generation generation,
                   base::ByteView bytes) {
  base::Result<log::RecordPart> parsed = log::ParsePart(bytes);
  if (!parsed.ok()) return Reject(Rejection::kMalformed, parsed.status());
  const log::PartHeader& header = parsed->header;
  if (header.database != point.database) {
    return Reject(Rejection::kDatabase, base::InvalidArgument(fmt::format(
                                            "a record of database {} came for database {}",
                                            header.database.ToHex(), point.database.ToHex())));
  }
  if (base::Status sender = CheckSender(point, header); !sender.ok())
    return Reject(Rejection::kTerm, std::move(sender));
  if (point.chain.empty())
    return Reject(Rejection::kSequence, base::LogGap("this log has no start yet: it needs a seed"));
  const base::Generation newest = point.chain.end().generation;
  if (generation < newest) {
    return Reject(Rejection::kSequence,
                  base::LogGap(fmt::format("a record of generation {} came after generation {}",
                                           ToString(generation), ToString(newest))));
  }
  Inspection inspection;
  log::RecordChain chain = point.chain;
  inspection.begins_anew = chain.open().has_value() && header.first();
  if (inspection.begins_anew) chain.DropOpen();
  if (base::Status follows = chain.Check(header); !follows.ok()) {
    const Rejection rejection = RejectionOf(follows.code());
    return Reject(rejection, std::move(follows));
  }
  inspection.part = std::move(parsed).value();
  return inspection;
}

}  // namespace understudy::ship
