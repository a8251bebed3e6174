// SPDX-License-Identifier: Apache-2.0
// How the keys of [coordinator] that are more than a text are read from TOML. For config.cc.
// Threading: pure functions. Errors: kInvalidArgument.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <toml++/toml.h>

#include "base/status.h"

namespace understudy::server {

base::Status SetAddress(const toml::node& node, std::string& out);
base::Status SetEndpoints(const toml::node& node, std::vector<std::string>& out);
// {s1 = "10.0.0.1:2380", …} or ["s1=10.0.0.1:2380", …]; "http://" before an address is etcd's way
// and allowed.
base::Status SetInitialCluster(const toml::node& node, std::map<std::string, std::string>& out);

}  // namespace understudy::server
