// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/human.h"
#include "cli/text_width.h"

namespace understudy::cli {
namespace {

using std::chrono::milliseconds;

constexpr double kRateMemorySeconds = 3;
constexpr base::Duration kRateStepMin = milliseconds(50);
constexpr base::Duration kRedrawMin = milliseconds(100);
constexpr base::Duration kLineMin = milliseconds(1000);
constexpr base::Duration kJsonMin = milliseconds(250);
constexpr size_t kBarColumnsMax = 30;
constexpr size_t kBarColumnsMin = 8;

uint64_t Percent(const base::Progress& progress) {
  if (progress.bytes_total == 0) return 0;
  const double ratio =
      static_cast<double>(progress.bytes_done) / static_cast<double>(progress.bytes_total);
  return static_cast<uint64_t>(std::clamp(ratio * 100, 0.0, 100.0));
}

std::string Figures(const base::Progress& progress, const ProgressMeter& meter) {
  if (progress.bytes_total == 0 && progress.bytes_done == 0) return "";  // waits, or begins
  std::string text = progress.bytes_total == 0 ? FormatBytes(progress.bytes_done)
                                               : fmt::format("{:3d}%  {} of {}", Percent(progress),
                                                             FormatBytes(progress.bytes_done),
                                                             FormatBytes(progress.bytes_total));
  if (meter.bytes_per_second() > 0) text += "  " + FormatRate(meter.bytes_per_second());
  if (const auto left = meter.Remaining(progress.bytes_done, progress.bytes_total);
      left && left->count() > 0) {
    text += "  " + FormatDuration(*left) + " left";
  }
  return text;
}

}  // namespace

void ProgressMeter::Update(uint64_t bytes_done, base::SteadyTime now) {
  if (!last_time_ || bytes_done < last_bytes_) {  // the start, or a new phase
    last_time_ = now;
    last_bytes_ = bytes_done;
    rate_known_ = false;
    rate_ = 0;
    return;
  }
  const base::Duration step = now - *last_time_;
  if (step < kRateStepMin) return;
  const double seconds = static_cast<double>(step.count()) / 1e9;
  const double rate = static_cast<double>(bytes_done - last_bytes_) / seconds;
  const double weight = rate_known_ ? 1 - std::exp(-seconds / kRateMemorySeconds) : 1;
  rate_ += weight * (rate - rate_);
  rate_known_ = true;
  last_time_ = now;
  last_bytes_ = bytes_done;
}

std::optional<base::Duration> ProgressMeter::Remaining(uint64_t bytes_done,
                                                       uint64_t bytes_total) const {
  if (!rate_known_ || rate_ < 1 || bytes_total == 0) return std::nullopt;
  const uint64_t left = bytes_done < bytes_total ? bytes_total - bytes_done : 0;
  const double seconds = static_cast<double>(left) / rate_;
  if (seconds > 1e8) return std::nullopt;
  // Whole seconds: tenths of a guess only flicker.
  return base::Duration(static_cast<int64_t>(std::ceil(seconds)) * 1'000'000'000);
}

std::string RenderProgressLine(const base::Progress& progress, const ProgressMeter& meter) {
  const std::string figures = Figures(progress, meter);
  return Printable(progress.phase) + (figures.empty() ? "" : "  ") + figures;
}

std::string RenderBar(const base::Progress& progress, const ProgressMeter& meter, size_t columns) {
  const std::string phase = Printable(progress.phase);
  const std::string figures = Figures(progress, meter);
  const size_t used = DisplayWidth(phase) + DisplayWidth(figures) + 6;  // gaps and brackets
  if (used + kBarColumnsMin > columns || progress.bytes_total == 0) {
    return phase + (figures.empty() ? "" : "  ") + figures;
  }
  const size_t width = std::min(kBarColumnsMax, columns - used);
  const size_t full = width * Percent(progress) / 100;
  std::string bar(full, '=');
  if (full < width) bar += '>';
  bar.resize(width, ' ');
  return fmt::format("{}  [{}]  {}", phase, bar, figures);
}

void ProgressView::Update(const base::Progress& progress) {
  if (progress.phase.empty() && progress.bytes_done == 0) return;  // nothing to tell yet
  const base::SteadyTime now = env_.Now();
  if (progress.phase != last_.phase) {
    if (!last_.phase.empty()) Finish();
    meter_ = ProgressMeter();
    due_at_.reset();
    drawn_ = false;
  }
  last_ = progress;
  meter_.Update(progress.bytes_done, now);
  pending_ = true;
  if (!due_at_) {
    // Where lines stay, work that is over at once is not worth one; programs and bars start at
    // once.
    const bool stays = !output_.json() && !output_.options().error_terminal;
    due_at_ = stays ? now + kLineMin : now;
  }
  if (now >= *due_at_) Draw(progress, now);
}

void ProgressView::Draw(const base::Progress& progress, base::SteadyTime now) {
  const base::Duration pause = output_.json()                     ? kJsonMin
                               : output_.options().error_terminal ? kRedrawMin
                                                                  : kLineMin;
  due_at_ = now + pause;
  drawn_ = true;
  pending_ = false;
  if (output_.json()) {
    Json item;
    item["phase"] = progress.phase;
    item["bytes_done"] = progress.bytes_done;
    item["bytes_total"] = progress.bytes_total;
    item["bytes_per_second"] = static_cast<uint64_t>(meter_.bytes_per_second());
    const auto left = meter_.Remaining(progress.bytes_done, progress.bytes_total);
    item["seconds_left"] = left ? Json(left->count() / 1'000'000'000) : Json(nullptr);
    output_.ErrorText(ToText(Json{{"progress", item}}) + "\n");
  } else if (output_.options().error_terminal) {
    // Erase to the end of the line: the new text may be shorter than the old one.
    output_.ErrorText("\r" + RenderBar(progress, meter_, output_.options().terminal_columns - 1) +
                      "\x1b[K");
    line_open_ = true;
  } else {
    output_.ErrorText(RenderProgressLine(progress, meter_) + "\n");
  }
}

void ProgressView::Update(const v1::ProgressUpdate& progress) {
  Update(base::Progress{.phase = progress.phase(),
                        .bytes_done = progress.bytes_done(),
                        .bytes_total = progress.bytes_total()});
}

void ProgressView::Finish() {
  if (pending_ && drawn_) Draw(last_, env_.Now());
  if (line_open_) output_.ErrorText("\n");
  line_open_ = false;
}

}  // namespace understudy::cli
