// SPDX-License-Identifier: Apache-2.0
#include "rpc/audit.h"

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/diag.h"
#include "rpc/roles.h"
#include "rpc/tls_credentials.h"

namespace understudy::rpc {
namespace {

using base::DiagLevel;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

std::string_view NameOfCall(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string ValueOf(const Message& message, const FieldDescriptor* field) {
  const Reflection* const reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: return reflection->GetString(message, field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(reflection->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(reflection->GetUInt64(message, field));
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(reflection->GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(reflection->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_ENUM: return reflection->GetEnum(message, field)->name();
    default: return "…";
  }
}

class CallAudit final : public grpc::experimental::Interceptor {
 public:
  explicit CallAudit(ServerRpcInfo* info) : info_(info) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE)) {
      // Every message of our services is a Message, whatever gRPC calls it.
      const auto* const request = static_cast<const Message*>(methods->GetRecvMessage());
      if (request != nullptr) told_ = ToldOf(*request);
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      Tell(methods->GetSendStatus());
    }
    methods->Proceed();
  }

 private:
  void Tell(const grpc::Status& status) {
    grpc::ServerContextBase* const context = info_->server_context();
    const Caller caller = CallerOf(*context);
    std::string result = status.ok() ? "ok" : status.error_message();
    result = result.substr(0, std::min(kToldBytesMax, result.find('\n')));
    base::Diag(status.ok() ? DiagLevel::kInfo : DiagLevel::kWarning, "audit",
               NameOfCall(info_->method()),
               {{"who", caller.certificate ? caller.certificate->Holder() : "no certificate"},
                {"from", context->peer()},
                {"what", told_},
                {"result", result}});
  }

  ServerRpcInfo* const info_;  // gRPC's, for as long as the call lives
  std::string told_;
};

class CallAudits final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const CallRole* const call = FindCall(info->method());
    if (call == nullptr || !call->changes) return nullptr;
    return new CallAudit(info);  // NOLINT: gRPC deletes it
  }
};

}  // namespace

std::string ToldOf(const Message& request) {
  std::string told;
  std::vector<const FieldDescriptor*> fields;
  request.GetReflection()->ListFields(request, &fields);
  for (const FieldDescriptor* const field : fields) {
    if (field->name().ends_with("pem")) continue;
    const std::string value = field->is_repeated() ? "…" : ValueOf(request, field);
    told += fmt::format("{}{}={}", told.empty() ? "" : " ", field->name(), value);
    if (told.size() > kToldBytesMax) return told.substr(0, kToldBytesMax) + "…";
  }
  return told;
}

void AuditCalls(grpc::ServerBuilder& builder) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
  creators.push_back(std::make_unique<CallAudits>());
  builder.experimental().SetInterceptorCreators(std::move(creators));
}

void Refusals::Tell(const std::string& who, std::string_view path, const std::string& why,
                    base::SteadyTime now) {
  uint64_t left_out = 0;
  {
    base::MutexLock lock(mutex_);
    if (now - since_ >= kRefusalsEvery) {
      since_ = now;
      told_ = 0;
      left_out = std::exchange(left_out_, 0);
    }
    if (++told_ > kRefusalsMax) {
      ++left_out_;
      return;
    }
  }
  base::Diag(DiagLevel::kWarning, "audit", fmt::format("refused {}", NameOfCall(path)),
             {{"who", who}, {"why", why.substr(0, kToldBytesMax)}, {"left_out_before", left_out}});
}

}  // namespace understudy::rpc
