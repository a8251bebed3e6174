# SPDX-License-Identifier: Apache-2.0
# Build options and the one INTERFACE target that carries our warnings and sanitizers.
set(UNDERSTUDY_SANITIZE "" CACHE STRING "empty, 'address' (with undefined) or 'thread'")
option(UNDERSTUDY_FUZZ "build the fuzz targets with libFuzzer (needs clang)" OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD AND NOT UNDERSTUDY_SANITIZE)
  add_link_options(-fuse-ld=mold)
endif()

add_library(understudy_flags INTERFACE)
target_include_directories(understudy_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
target_compile_options(understudy_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(understudy_flags INTERFACE -Wthread-safety)
endif()

if(UNDERSTUDY_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(UNDERSTUDY_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan) # the fence of a VFS's xShmBarrier; what it orders is in another process
  endif()
  add_link_options(-fsanitize=thread)
endif()

if(UNDERSTUDY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link) # our libraries too: libFuzzer steers by their coverage
endif()

# Only the files that use it are compiled anew: the compiler cache has the rest.
option(UNDERSTUDY_PLANTED "bugs can be planted by name (base/planted.h): for the tests of the tests only" OFF)
if(UNDERSTUDY_PLANTED)
  file(GLOB planted CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*/*.cc)
  foreach(source ${planted})
    file(STRINGS ${source} uses REGEX "base/planted\\.h")
    if(uses)
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_DEFINITIONS UNDERSTUDY_PLANTED)
    endif()
  endforeach()
endif()
