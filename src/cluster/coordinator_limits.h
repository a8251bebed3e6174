// SPDX-License-Identifier: Apache-2.0
// What every coordinator refuses before it asks its store: keys, values and transactions beyond the
// limits of coordinator.h. Threading: pure functions. Errors: kInvalidArgument.
#pragma once

#include <string>
#include <vector>

#include "cluster/coordinator.h"

namespace understudy::cluster {

base::Status CheckKey(const std::string& key);
base::Status CheckTxn(const std::vector<Compare>& compares,
                      const std::vector<Operation>& operations);

// The smallest text that is greater than every text with this prefix; empty: there is none.
std::string PrefixEnd(std::string prefix);

}  // namespace understudy::cluster
