// SPDX-License-Identifier: Apache-2.0
#include "server/config_redact.h"

#include <gmock/gmock.h>

namespace understudy::server {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(RedactConfig, SecretsAreRemovedAndTheRestStays) {
  const std::string text = RedactConfig(
      "[server]\nname = 's1'\ndata_dir = '/var/lib/understudy'\n"
      "[coordinator]\npassword_file = '/etc/understudy/etcd'\npassword = 'hunter2'\n"
      "[store.s3]\naccess_key = 'AKIA123'\nsecret = ['wJalr', 'x']\nendpoint = 'https://s3'\n"
      "[hooks]\npost_mount = ['/usr/bin/tell', '--as', 'sesame']\n");
  for (const char* there :
       {"s1", "/var/lib/understudy", "/etc/understudy/etcd", "https://s3", "/usr/bin/tell"}) {
    EXPECT_THAT(text, HasSubstr(there));
  }
  for (const char* gone : {"hunter2", "AKIA123", "wJalr", "sesame", "--as"}) {
    EXPECT_THAT(text, Not(HasSubstr(gone)));
  }
  EXPECT_EQ(RedactConfig(text), text);
}

TEST(RedactConfig, WhatIsNoTomlIsNotShown) {
  const std::string text = RedactConfig("password = hunter2\n");
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, HasSubstr("# this is no TOML"));
}

}  // namespace
}  // namespace understudy::server
