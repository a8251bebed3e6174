// SPDX-License-Identifier: Apache-2.0
// Metrics of this server as Prometheus reads them (text format 0.0.4), from one snapshot.
//
// Names have the unit in them, as is the custom there; what is not known has no sample, never 0.
// MetricCatalogue is what docs/metrics.md, the alerts and the dashboard in packaging/ are checked
// against. Limits: kMetricDatabasesMax databases, those first in the alphabet; the others are
// counted. Threading: pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "web/status_source.h"

namespace understudy::web {

inline constexpr size_t kMetricDatabasesMax = 1000;
inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

struct MetricEntry {
  std::string_view name;
  std::string_view type;    // "gauge" or "counter"
  std::string_view labels;  // "database,state"
  std::string_view help;
};

std::span<const MetricEntry> MetricCatalogue();
std::string MetricsText(const Snapshot& snapshot);

}  // namespace understudy::web
