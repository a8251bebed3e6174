# SPDX-License-Identifier: Apache-2.0
# understudy_protos(TARGET FOLDER): proto/FOLDER/*.proto -> a library (generated code: none of our warnings).
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

function(understudy_protos target folder)
  file(GLOB protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/proto/${folder}/*.proto)
  set(generated_dir ${CMAKE_BINARY_DIR}/proto)
  file(MAKE_DIRECTORY ${generated_dir})
  set(generated)
  foreach(proto ${protos})
    get_filename_component(stem ${proto} NAME_WE)
    set(base ${generated_dir}/${folder}/${stem})
    add_custom_command(
      OUTPUT ${base}.pb.cc ${base}.pb.h ${base}.grpc.pb.cc ${base}.grpc.pb.h
      COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR}/proto --cpp_out=${generated_dir}
              --grpc_out=${generated_dir} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${proto}
      DEPENDS ${protos} VERBATIM)
    list(APPEND generated ${base}.pb.cc ${base}.grpc.pb.cc)
  endforeach()
  add_library(${target} STATIC ${generated})
  target_include_directories(${target} SYSTEM PUBLIC ${generated_dir})
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf PkgConfig::GRPCPP)
endfunction()

understudy_protos(understudy_proto understudy/v1)
understudy_protos(understudy_etcd_proto etcd)
