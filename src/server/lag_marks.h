// SPDX-License-Identifier: Apache-2.0
// LagMarks: when the log of a copy became durable on this server, so that a lagged copy knows what
// has been here for long enough (docs/design/0008-lagged-copies.md says why not the commit times).
//
// A mark says "at this time the log was durable up to seq", by this server's own steady clock.
// Marks are a 128th of the lag apart: a record is held up to that much longer than the lag, never
// shorter. They survive a restart as ages: by the steady clock within one boot of the machine, by
// the wall clock over a reboot; a clock that went backwards, and marks that were not saved, make
// records younger, never older. At most kMarksMax are kept. Threading: thread-compatible. Errors:
// Load takes what cannot be read as no marks.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::server {

class LagMarks {
 public:
  static constexpr size_t kMarksMax = 512;
  static constexpr int kPrecision = 128;
  static constexpr base::Duration kSpacingMin = std::chrono::milliseconds(10);

  // The log is durable up to `durable` at `now`. Marks of a longer log, which was cut, go.
  void Note(base::SteadyTime now, base::Seq durable, base::Duration lag);
  // Drops what says nothing any more about records after `replayed`.
  void Trim(base::SteadyTime now, base::Seq replayed, base::Duration lag);
  void Clear();

  // The newest record that has been here for `lag`; 0: not known of any.
  base::Seq Matured(base::SteadyTime now, base::Duration lag) const;
  // When Matured will be another one, if nothing is noted; max: never.
  base::SteadyTime NextMaturity(base::SteadyTime now, base::Duration lag) const;
  // How long the first record after `replayed` has been here, or those that came just before it; 0
  // when there is none.
  base::Duration AgeAfter(base::SteadyTime now, base::Seq replayed) const;

  // Whether there is something that the last Save or Load does not have.
  bool changed() const { return changed_; }
  base::Status Save(env::Env& env, const std::string& path);
  // Marks beyond `durable` are left out: what they spoke of was not durable after all.
  void Load(env::Env& env, const std::string& path, base::Seq durable);

 private:
  struct Mark {
    base::SteadyTime time;
    base::Seq seq;
    base::SteadyTime since;  // the first record after the mark before came
  };

  std::deque<Mark> marks_;  // times and seqs rise
  bool changed_ = false;
};

}  // namespace understudy::server
