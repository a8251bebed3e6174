// SPDX-License-Identifier: Apache-2.0
#include "etcd/change_buffer.h"

#include <algorithm>
#include <utility>

namespace understudy::etcd {
namespace {

using cluster::Change;
using cluster::Changes;
using cluster::Revision;

size_t BytesOf(const Change& change) {
  return sizeof(Change) + change.key.size() + (change.value ? change.value->size() : 0);
}

}  // namespace

void ChangeBuffer::Restart(Revision revision) {
  changes_.clear();
  bytes_ = 0;
  from_ = revision;
  upto_ = revision;
}

void ChangeBuffer::Add(Change change) {
  bytes_ += BytesOf(change);
  changes_.push_back(std::move(change));
  Trim();
}

void ChangeBuffer::Complete() {
  if (!changes_.empty()) upto_ = std::max(upto_, changes_.back().revision);
  upto_ = std::max(upto_, from_);
}

void ChangeBuffer::DropIncomplete() {
  while (!changes_.empty() && changes_.back().revision > upto_) {
    bytes_ -= BytesOf(changes_.back());
    changes_.pop_back();
  }
  // What was trimmed from an incomplete revision comes again as well.
  from_ = std::min(from_, upto_);
}

bool ChangeBuffer::HasNews(Revision after) const { return after < from_ || after < upto_; }

Changes ChangeBuffer::Since(Revision revision) const {
  Changes result;
  result.revision = std::max(revision, upto_);
  if (revision < from_) {
    result.complete = false;
    return result;
  }
  const auto later = [](Revision value, const Change& change) { return value < change.revision; };
  const auto begin = std::upper_bound(changes_.begin(), changes_.end(), revision, later);
  const auto end = std::upper_bound(begin, changes_.end(), upto_, later);
  result.changes.assign(begin, end);
  return result;
}

void ChangeBuffer::Trim() {
  while (changes_.size() > kChangesMax || bytes_ > kBytesMax) {
    const Revision oldest = changes_.front().revision;
    while (!changes_.empty() && changes_.front().revision == oldest) {
      bytes_ -= BytesOf(changes_.front());
      changes_.pop_front();
    }
    from_ = oldest;
  }
}

}  // namespace understudy::etcd
