// SPDX-License-Identifier: Apache-2.0
#include "backup/prediction.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace understudy::backup {
namespace {

// A file that was there already was not written in that time.
bool Tells(const BackupDocument& document) {
  return document.duration_ms > 0 && document.bytes_stored >= kTellingBytes &&
         std::none_of(document.files.begin(), document.files.end(),
                      [](const BackupFile& file) { return file.reused; });
}

double BytesPerSecond(const BackupDocument& document) {
  return static_cast<double>(document.bytes_stored) * 1000 /
         static_cast<double>(document.duration_ms);
}

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// "0.017", "5", "3120": no digits that nobody needs.
std::string Told(double seconds) {
  return fmt::format("{}", seconds < 10 ? std::round(seconds * 1000) / 1000 : std::round(seconds));
}

double Mib(double bytes) { return bytes / (1 << 20); }

}  // namespace

void PredictTime(const BackupList& there, Prediction& prediction) {
  const auto telling = std::find_if(there.backups.begin(), there.backups.end(), Tells);
  if (telling == there.backups.end()) return;
  // No longer than a duration can be; nobody waits for that.
  constexpr double kSecondsMax = 1e9;
  const double seconds = static_cast<double>(prediction.bytes_to_store) / BytesPerSecond(*telling);
  prediction.lasts = std::chrono::duration_cast<base::Duration>(
      std::chrono::duration<double>(std::min(seconds, kSecondsMax)));
  prediction.told_by = telling->id;
}

base::Status CheckTime(const Prediction& prediction, base::Duration limit) {
  if (limit == base::Duration(0) || !prediction.lasts || *prediction.lasts <= limit) return {};
  const double seconds = Seconds(*prediction.lasts);
  const double mib = Mib(static_cast<double>(prediction.bytes_to_store));
  return base::TimedOut(fmt::format(
      "it would take about {} s ({:.1f} MiB to store, at {:.1f} MiB/s as backup {}), and {} s are "
      "allowed; nothing was written\nallow more (--within), take an incremental backup, or use a "
      "faster repository",
      Told(seconds), mib, mib / seconds, prediction.told_by, Told(Seconds(limit))));
}

}  // namespace understudy::backup
