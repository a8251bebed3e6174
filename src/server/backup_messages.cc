// SPDX-License-Identifier: Apache-2.0
#include "server/backup_messages.h"

#include <fmt/format.h>

#include <algorithm>

namespace understudy::server {

v1::Backup ToProto(const backup::BackupDocument& document, const std::string& repository) {
  v1::Backup to;
  to.set_id(document.id);
  to.set_database(document.database_name);
  to.set_database_id(document.database.ToHex());
  to.set_type(std::string(backup::BackupTypeName(document.type)));
  to.set_server(document.server);
  to.set_role(document.role);
  const bool damaged = document.verification.state == backup::VerificationState::kFailed;
  to.set_state(damaged ? "Damaged" : "Complete");
  to.mutable_position()->set_term(document.position.term.value);
  to.mutable_position()->set_seq(document.position.seq.value);
  to.set_started_ms(document.started.unix_ms);
  to.set_finished_ms(document.completed.unix_ms);
  to.set_page_size(document.page_size);
  to.set_pages(document.pages);
  to.set_database_bytes(uint64_t{document.page_size} * document.pages);
  to.set_provider(document.provider);
  to.set_stored_bytes(document.bytes_stored);
  to.set_checksum(fmt::format("{:016x}", document.checksum));
  to.set_repository(repository);
  to.set_base(document.base);
  to.set_commit_ms(document.commit_time.unix_ms);
  to.set_verification(std::string(backup::VerificationStateName(document.verification.state)));
  to.set_verified_ms(document.verification.at.unix_ms);
  return to;
}

v1::Drill ToProto(const backup::DrillRecord& drill) {
  v1::Drill to;
  to.set_database(drill.database);
  to.set_backup(drill.backup);
  to.set_at_ms(drill.at.unix_ms);
  to.set_server(drill.server);
  to.set_good(drill.good);
  to.set_message(drill.message);
  to.set_bytes(drill.bytes);
  to.set_duration_ms(static_cast<int64_t>(drill.duration_ms));
  return to;
}

v1::BackupPrediction ToProto(const backup::Prediction& prediction) {
  v1::BackupPrediction to;
  to.set_bytes_to_store(prediction.bytes_to_store);
  to.set_bytes_free(prediction.bytes_free);
  to.set_told_by(prediction.told_by);
  if (prediction.lasts) {
    to.set_lasts_ms(std::max<int64_t>(*prediction.lasts / std::chrono::milliseconds(1), 1));
  }
  return to;
}

void FillProgress(const base::Progress& progress, v1::ProgressUpdate* to) {
  to->set_phase(progress.phase);
  to->set_bytes_done(progress.bytes_done);
  to->set_bytes_total(progress.bytes_total);
}

}  // namespace understudy::server
