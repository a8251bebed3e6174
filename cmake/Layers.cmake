# SPDX-License-Identifier: Apache-2.0
# understudy_library(NAME DEPENDS lib…): src/NAME/*.cc as understudy_NAME, and src/NAME/*_test.cc as NAME_test.
include(GoogleTest)

function(understudy_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(understudy_${name} STATIC ${sources})
    target_link_libraries(understudy_${name} PUBLIC ${ARG_DEPENDS} PRIVATE understudy_flags)
    target_include_directories(understudy_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  else()
    add_library(understudy_${name} INTERFACE)
    target_link_libraries(understudy_${name} INTERFACE ${ARG_DEPENDS})
  endif()
  if(tests)
    understudy_test(${name}_test SOURCES ${tests} DEPENDS understudy_${name} LABEL unit)
  endif()
endfunction()

# understudy_test(NAME SOURCES … DEPENDS … LABEL unit|sim|e2e|fuzz [TIMEOUT seconds]): one program of GoogleTests,
# each of which becomes a ctest.
function(understudy_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPENDS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(UNDERSTUDY_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 6") # what the sanitizers cost, generously
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} understudy_testing GTest::gmock GTest::gtest_main understudy_flags)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
