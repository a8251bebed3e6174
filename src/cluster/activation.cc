// SPDX-License-Identifier: Apache-2.0
#include "cluster/activation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/planted.h"

namespace understudy::cluster {
namespace {

// A person may name a copy that is behind or was suspended; never one that is no whole database.
bool IsWhole(const std::string& state) {
  return state == "Healthy" || state == "DisconnectedAndHealthy" || state == "SeedingSource" ||
         state == "PageRepair" || state == "Suspended" || state == "Initializing";
}

// The states of which a copy is mounted without a person.
bool IsHealthy(const std::string& state) {
  return state == "Healthy" || state == "DisconnectedAndHealthy" || state == "SeedingSource" ||
         state == "PageRepair";
}

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Why the dial forbids it; empty: it does not.
std::string JudgeLoss(const Candidate& candidate, const CopyView& copy, base::Term mounted,
                      const Selection& how) {
  if (how.accept_any_loss) return "";
  // Every mount takes a new term: what was said of this one's end holds for ever.
  const bool end_is_known = mounted.value > 0 && copy.final_term == mounted;
  if (how.dial == MountDial::kLossless && !PLANTED("dial-ignored")) {
    if (candidate.missing > 0) {
      return fmt::format("lacks {} records, and the dial is lossless", candidate.missing);
    }
    if (!end_is_known) {
      return fmt::format(
          "has not heard from the active copy where its log ended in term {}, and the dial is "
          "lossless",
          mounted.value);
    }
    return "";
  }
  const DialBounds bounds = BoundsOf(how.dial);
  if (candidate.missing > bounds.records_max) {
    return fmt::format("lacks {} records, the dial ({}) allows {}", candidate.missing,
                       MountDialName(how.dial), bounds.records_max);
  }
  if (copy.connected || end_is_known) return "";
  if (!copy.silence) {
    return how.dial == MountDial::kBest
               ? ""
               : fmt::format(
                     "has not heard of the active copy since its server started, so what it "
                     "lacks is unknown (dial {})",
                     MountDialName(how.dial));
  }
  const base::Duration allowed = how.lease + bounds.silence_max;
  if (*copy.silence > allowed) {
    return fmt::format(
        "has not heard of the active copy for {:.1f} s, the dial ({}) and the lease "
        "allow {:.1f} s",
        Seconds(*copy.silence), MountDialName(how.dial), Seconds(allowed));
  }
  return "";
}

// Why it cannot be mounted, whatever it would lose; empty: it can.
std::string JudgeCopy(const CopyRecord& record, const CopyView& copy, const Selection& how) {
  if (!copy.server_alive) return "its server has no lease";
  if (!copy.answered) return "its server does not answer";
  if (how.rested.contains(copy.server)) {
    return fmt::format("it was tried and did not mount within the last {:.0f} s",
                       Seconds(kTriedCopyRest));
  }
  if (!IsWhole(copy.state)) return fmt::format("it is {}", copy.state);
  if (how.accept_any_state) return "";
  if (copy.in_maintenance) return "its server is in maintenance";
  if (record.activation_suspended) return "its activation is suspended";
  if (record.suspended) return "it is suspended";
  if (!IsHealthy(copy.state)) return fmt::format("it is {}", copy.state);
  return "";
}

// What speaks against a lagged copy; empty: it is none.
std::string LagRemark(const Candidate& candidate, const CopyView& copy) {
  if (candidate.replay_lag <= base::Duration(0)) return "";
  return fmt::format(
      "; it lags by {}, so it comes after all others, and has to replay {} commits before it is "
      "mounted, which ends its lag",
      LagText(candidate.replay_lag), copy.replay_queue);
}

std::string Praise(const Candidate& candidate, const CopyView& copy, base::Term mounted) {
  std::string text =
      candidate.missing == 0
          ? fmt::format("has everything that is known, up to {}", base::ToString(candidate.durable))
          : fmt::format("lacks {} records, has everything up to {}", candidate.missing,
                        base::ToString(candidate.durable));
  if (copy.final_term == mounted) {
    return text + fmt::format(", where the active copy has said that term {} ended", mounted.value);
  }
  if (copy.connected) return text + ", and is connected to the active copy";
  if (copy.silence) {
    text += fmt::format("; heard of the active copy {:.1f} s ago", Seconds(*copy.silence));
  }
  return text;
}

// Best first.
bool IsBetter(const Candidate& a, const Candidate& b) {
  if (a.eligible != b.eligible) return a.eligible;
  const auto lags = [](const Candidate& c) { return c.replay_lag > base::Duration(0); };
  if (lags(a) != lags(b)) return lags(b);
  if (a.durable != b.durable) return a.durable > b.durable;
  const auto rank = [](const Candidate& c) {
    return c.preference == 0 ? UINT64_MAX : c.preference;
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return a.server < b.server;
}

}  // namespace

Choice ChooseBestCopy(const DatabaseView& view, const Selection& how) {
  Choice choice;
  choice.known_end = view.active_published;
  for (const CopyView& copy : view.passives) {
    choice.known_end = std::max({choice.known_end, copy.durable, copy.source_end});
  }
  for (const CopyView& copy : view.passives) {
    const CopyRecord* const record = view.record.FindCopy(copy.server);
    if (record == nullptr) continue;
    Candidate candidate;
    candidate.server = copy.server;
    candidate.durable = copy.durable;
    candidate.silence = copy.silence;
    candidate.preference = record->preference;
    candidate.replay_lag = record->replay_lag;
    candidate.missing = choice.known_end.seq > copy.durable.seq
                            ? choice.known_end.seq.value - copy.durable.seq.value
                            : 0;
    candidate.verdict = JudgeCopy(*record, copy, how);
    if (candidate.verdict.empty() && !how.only.empty() && copy.server != how.only) {
      candidate.verdict = fmt::format("{} was asked for", how.only);
    }
    if (candidate.verdict.empty()) {
      candidate.verdict = JudgeLoss(candidate, copy, view.record.term, how);
    }
    candidate.eligible = candidate.verdict.empty();
    if (candidate.eligible) {
      candidate.verdict = Praise(candidate, copy, view.record.term) + LagRemark(candidate, copy);
    }
    choice.candidates.push_back(std::move(candidate));
  }
  std::sort(choice.candidates.begin(), choice.candidates.end(), IsBetter);
  return choice;
}

Need NeedOf(const DatabaseView& view, bool group_paused) {
  const DatabaseRecord& record = view.record;
  if (record.copies.size() < 2 || record.dismounted) return {};
  Need need;
  if (!view.active_alive) {
    need.what = Need::What::kFailover;
    need.why = fmt::format("server {} has no lease any more", record.active);
  } else if (view.active_failed_for >= kMountPatience) {
    need.what = Need::What::kGiveUpMount;
    need.why = fmt::format("the copy on {} has been Failed for {:.0f} s", record.active,
                           Seconds(view.active_failed_for));
  }
  if (group_paused && need.what != Need::What::kNothing) {
    return {Need::What::kNothing, need.why + ", but the group is paused"};
  }
  return need;
}

std::string LagText(base::Duration lag) {
  constexpr std::pair<int64_t, const char*> kUnits[] = {
      {86'400'000, "d"}, {3'600'000, "h"}, {60'000, "m"}, {1'000, "s"}};
  const int64_t milliseconds = lag / std::chrono::milliseconds(1);
  for (const auto& [length, unit] : kUnits) {
    if (milliseconds > 0 && milliseconds % length == 0) {
      return fmt::format("{}{}", milliseconds / length, unit);
    }
  }
  return fmt::format("{}ms", milliseconds);
}

std::string Explain(const Choice& choice) {
  return ListVerdicts(choice.candidates, "there is no other copy");
}

}  // namespace understudy::cluster
