// SPDX-License-Identifier: Apache-2.0
#include "etcd/etcd_members.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "etcd/etcd_client.h"

namespace understudy::etcd {
namespace {

using etcdserverpb::Member;
using etcdserverpb::MemberListResponse;

// What etcd says while a learner has not caught up, and while a member is new or was away.
constexpr std::string_view kNotYet[] = {
    "too many learner", "unhealthy cluster",
    "re-configuration failed due to not enough started members"};

// Nothing was done, and it may work in some seconds.
base::Status OrNotYet(const base::Status& status) {
  const auto says = [&status](std::string_view text) {
    return !status.ok() && status.message().find(text) != std::string::npos;
  };
  if (std::none_of(std::begin(kNotYet), std::end(kNotYet), says)) return status;
  return base::Busy(
      "the etcd member of another server is new or was away, and has not caught up yet\n"
      "wait some seconds and try again; look whether understudyd runs on every server");
}

std::string AddressOf(const Member& member) {
  if (member.peerurls().empty()) return "";
  const std::string& url = member.peerurls(0);
  const size_t scheme = url.find("://");
  return scheme == std::string::npos ? url : url.substr(scheme + 3);
}

}  // namespace

struct EtcdMembers::State {
  explicit State(EtcdOptions options)
      : scheme(options.identity_file.empty() && options.ca.empty() ? "http://" : "https://"),
        client(std::move(options)) {}

  base::Result<MemberListResponse> List() {
    MemberListResponse list;
    RETURN_IF_ERROR(client.Repeat("the list of members", [&](grpc::ClientContext& context,
                                                             const EtcdClient::Endpoint& endpoint) {
      return endpoint.cluster->MemberList(&context, {}, &list);
    }));
    return list;
  }
  base::Status RemoveOne(uint64_t id) {
    etcdserverpb::MemberRemoveRequest request;
    request.set_id(id);
    return OrNotYet(
        client.Once("the removal of a member",
                    [&](grpc::ClientContext& context, const EtcdClient::Endpoint& endpoint) {
                      etcdserverpb::MemberRemoveResponse response;
                      return endpoint.cluster->MemberRemove(&context, request, &response);
                    }));
  }

  const std::string scheme;
  EtcdClient client;
};

EtcdMembers::EtcdMembers(EtcdOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
EtcdMembers::~EtcdMembers() = default;

base::Result<std::map<std::string, std::string>> EtcdMembers::Add(const std::string& name,
                                                                  const std::string& peer) {
  ASSIGN_OR_RETURN(const MemberListResponse before, state_->List());
  for (const Member& member : before.members()) {
    if (member.name() != name && AddressOf(member) != peer) continue;
    RETURN_IF_ERROR(state_->RemoveOne(member.id()));
  }
  etcdserverpb::MemberAddRequest request;
  request.add_peerurls(state_->scheme + peer);
  request.set_islearner(true);
  etcdserverpb::MemberAddResponse response;
  RETURN_IF_ERROR(OrNotYet(state_->client.Once(
      "a new member", [&](grpc::ClientContext& context, const EtcdClient::Endpoint& endpoint) {
        return endpoint.cluster->MemberAdd(&context, request, &response);
      })));
  std::map<std::string, std::string> members;
  for (const Member& member : response.members()) {
    const bool is_new = member.id() == response.member().id();
    if (is_new || !member.name().empty()) {
      members[is_new ? name : member.name()] = AddressOf(member);
    }
  }
  return members;
}

base::Result<bool> EtcdMembers::Remove(const std::string& name) {
  ASSIGN_OR_RETURN(const MemberListResponse list, state_->List());
  for (const Member& member : list.members()) {
    if (member.name() != name) continue;
    RETURN_IF_ERROR(state_->RemoveOne(member.id()));
    return true;
  }
  return false;
}

base::Status EtcdMembers::Promote() {
  ASSIGN_OR_RETURN(const MemberListResponse list, state_->List());
  for (const Member& member : list.members()) {
    if (!member.islearner() || member.name().empty()) continue;  // it has not started
    etcdserverpb::MemberPromoteRequest request;
    request.set_id(member.id());
    // One that has not caught up is refused, and asked for again later.
    state_->client
        .Once("the promotion of a member",
              [&](grpc::ClientContext& context, const EtcdClient::Endpoint& endpoint) {
                etcdserverpb::MemberPromoteResponse response;
                return endpoint.cluster->MemberPromote(&context, request, &response);
              })
        .IgnoreError();
  }
  return {};
}

}  // namespace understudy::etcd
