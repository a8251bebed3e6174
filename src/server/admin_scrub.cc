// SPDX-License-Identifier: Apache-2.0
// Scrubs that a person asks for, and what other servers fetch from here to repair damage.
#include <fmt/format.h>

#include <algorithm>

#include "server/admin.h"
#include "server/scrub_copies.h"

namespace understudy::server {

using cluster::CopyRecord;
using cluster::DatabaseRecord;

base::Result<v1::ScrubResponse> Admin::Scrub(const v1::ScrubRequest& request) {
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  if (!request.server().empty() && record.FindCopy(request.server()) == nullptr) {
    return base::NotFound(fmt::format("{} has no copy on {}", record.name, request.server()));
  }
  v1::ScrubResponse response;
  const auto begin_here = [&]() -> base::Status {
    ASSIGN_OR_RETURN(const base::WallTime started, scrub_->Start(record.id));
    v1::ScrubResponse::Begun* const begun = response.add_begun();
    begun->set_server(context_.server);
    begun->set_started_ms(started.unix_ms);
    return {};
  };
  const auto begin_there = [&](const std::string& server) -> base::Status {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(server));
    v1::ScrubRequest forward = request;
    forward.set_server(server);
    forward.set_forwarded(true);
    ASSIGN_OR_RETURN(const v1::ScrubResponse answer, client->Scrub(forward));
    for (const v1::ScrubResponse::Begun& begun : answer.begun()) *response.add_begun() = begun;
    return {};
  };
  if (request.forwarded() && request.server() != context_.server) {
    return base::InvalidArgument(
        fmt::format("this is server {}, not {}", context_.server, request.server()));
  }
  base::Status first;
  for (const CopyRecord& copy : record.copies) {
    if (!request.server().empty() && copy.server != request.server()) continue;
    const base::Status status =
        copy.server == context_.server ? begin_here() : begin_there(copy.server);
    if (status.ok()) continue;
    if (first.ok()) first = status;
    v1::ScrubResponse::Begun* const begun = response.add_begun();
    begun->set_server(copy.server);
    begun->set_error(status.message());
  }
  // One that was asked for by name, or none at all: that is a failure.
  const bool any = std::any_of(response.begun().begin(), response.begun().end(),
                               [](const auto& begun) { return begun.error().empty(); });
  if (!any && !first.ok()) return first;
  return response;
}

base::Result<v1::FetchPageResponse> Admin::FetchPage(const v1::FetchPageRequest& request) {
  ASSIGN_OR_RETURN(const base::DatabaseId id, base::DatabaseId::FromHex(request.database_id()));
  const std::optional<CopyHost::Hosted> copy = host_.FindCopy(id);
  if (!copy) return base::Unavailable(fmt::format("{} has no copy of it open", context_.server));
  ASSIGN_OR_RETURN(const std::optional<base::Bytes> image,
                   ReadPageWithHash(*copy, base::PageNo(request.page()), request.hash()));
  v1::FetchPageResponse response;
  response.set_found(image.has_value());
  if (image) response.set_image(image->data(), image->size());
  return response;
}

base::Result<v1::FetchGenerationResponse> Admin::FetchGeneration(
    const v1::FetchGenerationRequest& request) {
  ASSIGN_OR_RETURN(const base::DatabaseId id, base::DatabaseId::FromHex(request.database_id()));
  const std::optional<CopyHost::Hosted> copy = host_.FindCopy(id);
  if (!copy) return base::Unavailable(fmt::format("{} has no copy of it open", context_.server));
  ASSIGN_OR_RETURN(const log::LogStore::GenerationBytes piece,
                   ReadGeneration(*copy, base::Generation(request.generation()), request.offset()));
  v1::FetchGenerationResponse response;
  response.set_total(piece.total);
  response.set_data(piece.bytes.data(), piece.bytes.size());
  return response;
}

}  // namespace understudy::server
