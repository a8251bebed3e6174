// SPDX-License-Identifier: Apache-2.0
// What a group keeps in its coordinator, as typed records, and their JSON
// (docs/formats/registry.md).
//
// A record read by an older version keeps working when a newer one added fields: unknown fields are
// ignored, missing ones have their defaults, but a field of the wrong type is kCorruption that
// names record and field. Threading: values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "cluster/coordinator.h"

namespace understudy::cluster {

// Of one database, as in an availability group of Exchange.
inline constexpr size_t kCopiesMax = 16;
inline constexpr size_t kHistoryMax = 64;  // terms remembered; older ones are dropped
// How long a lagged copy may hold log back (docs/design/0008-lagged-copies.md), as in Exchange.
inline constexpr base::Duration kReplayLagMax = std::chrono::hours(14 * 24);
// Of GroupRecord::rebalance_every.
inline constexpr std::chrono::seconds kRebalanceEveryMin{10};
inline constexpr std::chrono::seconds kRebalanceEveryMax{7 * 24 * 3600};

struct ServerRecord {
  std::string name;
  std::string address;  // where other servers and the command reach it
  std::string web;      // where its web server answers; empty: it has none
  std::string version;
  std::string
      identity;  // random, kept in the data directory: a restarted daemon is the same server
  base::WallTime started;
  bool authority = false;  // it has the key that signs the group's certificates
  // Not in the record: its lease lives. last_seen is in the leased key.
  bool alive = false;
  base::WallTime last_seen;
};

struct CopyRecord {
  std::string server;
  std::string path;
  bool suspended = false;
  std::string suspend_reason;
  uint64_t incarnation = 0;  // another one each time a copy is added on a server
  // Activation preference: among equally good copies the lowest number is mounted; 0: none.
  uint64_t preference = 0;
  bool activation_suspended = false;  // never mounted automatically
  // Log is replayed only once it has been on this server for so long; 0: at once.
  base::Duration replay_lag{};
  uint64_t seed_bandwidth = 0;  // bytes a second; 0: what its server allows
  // The server whose copy gives the pages of this copy's seeds; empty, or one without a copy: the
  // active copy's.
  std::string seed_from{};

  bool operator==(const CopyRecord&) const = default;
};

// The mount dial: how much an automatic failover may lose, as far as that can be known.
enum class MountDial {
  kLossless,  // nothing: only when the former active copy's last log was copied
  kGood,
  kBest,
};
std::string_view MountDialName(MountDial dial);
std::optional<MountDial> MountDialFromName(std::string_view name);
struct DialBounds {
  uint64_t records_max = 0;      // known to be missing
  base::Duration silence_max{};  // between the last word from the active copy and its lease's end
};
DialBounds BoundsOf(MountDial dial);

// Where a term began: its records follow `after`, which is the last record of an older term.
struct TermStart {
  base::Term term;
  base::Position after;
  std::string server;
  base::WallTime time;
  std::string reason;  // "mount", "switchover", "failover", …

  bool operator==(const TermStart&) const = default;
};

// The newest backup that lets log go: full or incremental, into a repository, read back and
// checked.
struct BackedUp {
  std::string id;  // empty: there was none
  std::string type;
  base::Position at;
  base::WallTime time;

  bool operator==(const BackedUp&) const = default;
};

inline constexpr base::Duration kArchiveIntervalMin = std::chrono::seconds(1);
inline constexpr base::Duration kArchiveIntervalMax = std::chrono::hours(24);

struct DatabaseRecord {
  std::string name;
  base::DatabaseId id;
  std::string file;  // name of the first active copy's file: of copies without a path of their own
  std::string active;  // server
  base::Term term;     // of the last mount
  base::WallTime created;
  std::vector<CopyRecord> copies;  // the active one too
  MountDial dial = MountDial::kGood;
  bool dismounted = false;         // by an administrator: mounted by nobody until told otherwise
  std::string move_reason;         // why `active` was changed last; for the next mount's history
  std::vector<TermStart> history;  // oldest first
  // Log goes whether it is backed up or not; else it is kept until it is (log_keeper.h).
  bool circular_logging = true;
  BackedUp backed_up;
  // So often its state is archived (server/archive_watch.h); 0: never.
  base::Duration archive_interval{};
  Revision modified = 0;  // not in the record: for compare-and-set

  const CopyRecord* FindCopy(std::string_view server) const;
  CopyRecord* FindCopy(std::string_view server);
  // As far as `backed_up` reaches into this history: after a failover with loss it may be of
  // commits that the group went on without.
  base::Seq BackedUpTo() const;
};

// What holds for the whole group.
struct GroupRecord {
  bool paused = false;  // nothing is moved without a person
  // Without the coordinator the active copies stay mounted while every server confirms it
  // (server/failsafe.h).
  bool failsafe = false;
  // So often active copies are moved to where their activation preference says; 0: by a person.
  base::Duration rebalance_every{};
  Revision modified = 0;
};

// The last that a server said about one of its copies; for when the server itself cannot be asked.
struct CopyStatusRecord {
  std::string database;
  std::string server;
  uint64_t incarnation = 0;  // CopyRecord::incarnation
  std::string path;
  std::string state;
  std::string error;
  base::Position copied;
  base::Position durable;
  base::Position replayed;
  uint64_t copy_queue = 0;
  base::WallTime observed;
};

// Event numbers: those of MSExchangeRepl where it has one for the same thing.
enum class EventNumber : uint32_t {
  // On the active copy's server, of a backup of another copy (ESE's numbers for surrogate backups).
  kSurrogateBackup = 210,
  kSurrogateIncremental = 211,
  kSurrogateCompleted = 213,
  kSurrogateFailed = 214,
  kSurrogateExpired = 215,
  kLogTruncated = 224,
  kLogNotTruncated = 225,
  kServerStarted = 2001,
  kServerStopped = 2002,
  kServerLost = 2003,
  kDatabaseAdded = 2010,
  kDatabaseRemoved = 2011,
  kDatabaseMounted = 2012,
  kMountFailed = 2013,
  kDatabaseDismounted = 2014,
  kDismountDelayed = 2015,
  kCopyRetired = 2016,
  kSwitchover = 2017,
  kFailover = 2018,
  kFailoverImpossible = 2019,
  kSettingChanged = 2005,
  kFailsafeEntered = 2006,
  kFailsafeLeft = 2007,
  kFailsafeRefused = 2008,
  kSuperseded = 2009,
  kCopyAdded = 2020,
  kCopyRemoved = 2021,
  kCopySuspended = 2022,
  kCopyResumed = 2023,
  kCopyStateChanged = 2024,
  kCopyFailed = 2025,
  kRebalanceFailed = 2026,
  kPlayDownStarted = 2027,
  kPlayDownEnded = 2028,
  kCopyExtracted = 2029,
  kContentReplaced = 2037,
  kRecoveryCreated = 2170,
  kRecoveryRemoved = 2171,
  kSeedStarted = 2030,
  kSeedCompleted = 2031,
  kSeedFailed = 2032,
  kResyncStarted = 2033,
  kResyncCompleted = 2034,
  kLostLogSaved = 2035,
  kLostLogRemoved = 2036,
  kBackupStarted = 2040,
  kBackupCompleted = 2041,
  kBackupFailed = 2042,
  kBackupAlone = 2043,      // the coordinator or the active copy's server cannot be told of it
  kBackupNotAlone = 2044,   // again
  kBackupAbandoned = 2045,  // its requester is silent
  kCaptureFailed = 2050,
  kGapHealed = 2051,
  kRolledForward = 2052,
  kResyncFailed = 2058,
  kSeedSourceGivenUp = 2059,
  kDamageFound = 2080,
  kDamageRepaired = 2081,
  kDamageNotRepaired = 2082,
  kScrubStopped = 2083,
  kStragglerLetGo = 2085,  // log that a copy needs is no longer kept for it
  kLogDiskLow = 2086,
  kArchiveNeedsBackup = 2120,
  kArchiveFailed = 2121,
  kArchiveGoesOn = 2122,
  kScheduleLate = 2180,    // nobody can do what is due
  kScheduleMadeUp = 2181,  // begun long after it was due
  kScheduleFailed = 2182,
  kDrillGood = 2183,
  kDrillFailed = 2184,
  kBackupsPruned = 2185,
  kHookFailed = 2060,
  kServerJoined = 2070,
  kServerRemoved = 2071,
  kCertificateIssued = 2072,
  kCertificateRenewed = 2073,
  kCertificateNotRenewed = 2074,
  kTokenMade = 2075,
  kConnectionLost = 2153,
  kConnectionRestored = 2154,
};

enum class Severity { kInfo, kWarning, kError };
std::string_view SeverityName(Severity severity);

struct Event {
  uint64_t id = 0;  // given by the registry
  base::WallTime time;
  EventNumber number = EventNumber::kServerStarted;
  Severity severity = Severity::kInfo;
  std::string server;
  std::string database;  // may be empty
  std::string message;
};

std::string ToJson(const ServerRecord& record);
std::string ToJson(const DatabaseRecord& record);
std::string ToJson(const GroupRecord& record);
std::string ToJson(const CopyStatusRecord& record);
std::string ToJson(const Event& event);
// `key` goes into messages.
base::Result<ServerRecord> ServerFromJson(std::string_view key, const std::string& text);
base::Result<DatabaseRecord> DatabaseFromJson(std::string_view key, const std::string& text);
base::Result<GroupRecord> GroupFromJson(std::string_view key, const std::string& text);
base::Result<CopyStatusRecord> CopyStatusFromJson(std::string_view key, const std::string& text);
base::Result<Event> EventFromJson(std::string_view key, const std::string& text);
inline constexpr size_t kEventMessageBytesMax = 16 << 10;
// Cuts a message that is longer.
void Shorten(Event& event);

}  // namespace understudy::cluster
