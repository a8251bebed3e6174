// SPDX-License-Identifier: Apache-2.0
// Backups and progress as messages tell them. Threading: pure functions; what SendProgress gives is
// for one thread.
#pragma once

#include <string>

#include "backup/backup_document.h"
#include "backup/drill.h"
#include "backup/prediction.h"
#include "base/progress.h"
#include "base/time.h"
#include "env/env.h"
#include "rpc/admin_backend.h"

namespace understudy::server {

v1::Backup ToProto(const backup::BackupDocument& document, const std::string& repository);
v1::BackupPrediction ToProto(const backup::Prediction& prediction);
v1::Drill ToProto(const backup::DrillRecord& drill);
void FillProgress(const base::Progress& progress, v1::ProgressUpdate* to);

inline constexpr base::Duration kProgressInterval = std::chrono::milliseconds(200);

// Sends a `Response` with the progress so often; ends the work when the client has gone. All must
// outlive it.
template <typename Response>
base::ProgressSink SendProgress(env::Env& env, const rpc::CallContext& call,
                                const rpc::AdminBackend::Sender<Response>& send) {
  return [&env, &call, &send, next = base::SteadyTime()](const base::Progress& progress) mutable {
    if (call.cancelled()) return false;
    if (env.Now() < next) return true;
    next = env.Now() + kProgressInterval;
    Response response;
    FillProgress(progress, response.mutable_progress());
    return send(response);
  };
}

}  // namespace understudy::server
