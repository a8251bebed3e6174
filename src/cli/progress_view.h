// SPDX-License-Identifier: Apache-2.0
// Shows the progress of long work: a bar that redraws itself on a terminal, a line now and then
// elsewhere, lines of JSON with `-o json`. All on standard error.
//
// ProgressMeter computes rate and remaining time; ProgressView decides when and how to draw.
// Threading: confined to the thread that runs the command. Units: bytes, of page images.
#pragma once

#include <optional>
#include <string>

#include "base/progress.h"
#include "base/time.h"
#include "cli/output.h"
#include "env/env.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::cli {

// A smoothed rate: the last few seconds count, so that a stall shows and a burst does not promise
// too much.
class ProgressMeter {
 public:
  void Update(uint64_t bytes_done, base::SteadyTime now);

  double bytes_per_second() const { return rate_; }
  // Nothing while the rate is unknown or zero.
  std::optional<base::Duration> Remaining(uint64_t bytes_done, uint64_t bytes_total) const;

 private:
  std::optional<base::SteadyTime> last_time_;
  uint64_t last_bytes_ = 0;
  double rate_ = 0;
  bool rate_known_ = false;
};

// "backing up  [=====>    ]  45%  1.2 GiB of 2.7 GiB  84 MiB/s  18 s left", within `columns`.
std::string RenderBar(const base::Progress& progress, const ProgressMeter& meter, size_t columns);
// The same without the bar, for places where lines stay.
std::string RenderProgressLine(const base::Progress& progress, const ProgressMeter& meter);

class ProgressView {
 public:
  // Both must outlive the view.
  ProgressView(Output& output, env::Env& env) : output_(output), env_(env) {}
  ~ProgressView() { Finish(); }
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void Update(const base::Progress& progress);
  void Update(const v1::ProgressUpdate& progress);  // as a server tells it
  // Draws the last state and leaves the line. Harmless if called twice.
  void Finish();

 private:
  void Draw(const base::Progress& progress, base::SteadyTime now);

  Output& output_;
  env::Env& env_;
  ProgressMeter meter_;
  base::Progress last_;
  std::optional<base::SteadyTime> due_at_;  // of the next drawing
  bool drawn_ = false;                      // this phase has been shown
  bool pending_ = false;                    // last_ is newer than what is drawn
  bool line_open_ = false;                  // the terminal's line holds a bar
};

}  // namespace understudy::cli
