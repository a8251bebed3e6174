// SPDX-License-Identifier: Apache-2.0
#include "cluster/event_catalogue.h"

#include <algorithm>
#include <iterator>

namespace understudy::cluster {
namespace {

using N = EventNumber;

constexpr EventEntry kCatalogue[] = {
    {N::kSurrogateBackup, "surrogate backup",
     "A backup of another copy of this active copy has begun.",
     "A backup was started on a passive copy; its log range is held here.", ""},
    {N::kSurrogateIncremental, "surrogate incremental",
     "An incremental backup of another copy has begun.", "As 210.", ""},
    {N::kSurrogateCompleted, "surrogate completed", "The backup of another copy has ended well.",
     "Its server said so.", ""},
    {N::kSurrogateFailed, "surrogate failed", "The backup of another copy has failed.",
     "The server that ran it says why in 2042.", "See 2042 and `understudy writers` there."},
    {N::kSurrogateExpired, "surrogate silent",
     "Nothing was heard of a backup of another copy for as long as its lease lasts; what it held "
     "here is let go.",
     "The server that ran it is dead or unreachable. The backup itself may go on.",
     "See 2043 and 2042 of that server. A link that is away for longer at times: raise "
     "BackupLeaseInMsec."},
    {N::kLogTruncated, "log truncated",
     "After a full or incremental backup, log that it has was removed from a copy.",
     "The backup was read back and checked. What is still held is named.", ""},
    {N::kLogNotTruncated, "log not truncated",
     "After a full or incremental backup nothing of a copy's log could be removed.",
     "Somebody holds it, whom the message names, or there was less than a log file.",
     "`understudy holds DB` shows who holds what, and what would release it."},
    {N::kServerStarted, "server started", "A daemon has joined its group and serves its copies.",
     "It was started.", ""},
    {N::kServerStopped, "server stopped", "A daemon has stopped in an orderly way.",
     "It was told to.", ""},
    {N::kServerLost, "lease lost",
     "The lease of this server in the coordinator ended; its active copies are fenced.",
     "The coordinator was not reached for lease time, or this machine stood still for so long.",
     "Look at the coordinator, the network to it and the load here. It joins again by itself."},
    {N::kSettingChanged, "setting changed",
     "A setting of the group, a database or a copy has changed.",
     "Somebody changed it; the message says what.", ""},
    {N::kFailsafeEntered, "failsafe entered",
     "The coordinator is away; active copies go on because every other server promises not to take "
     "over.",
     "The coordinator does not answer; `activation failsafe` is on.",
     "Bring the coordinator back. Until then one more lost server ends the writing."},
    {N::kFailsafeLeft, "failsafe left",
     "The coordinator is there again, leases are renewed as usual.", "It answered.", ""},
    {N::kFailsafeRefused, "failsafe refused",
     "The coordinator is away and a server did not promise, so the active copies here are fenced.",
     "A server did not answer in time, or knows a higher term.",
     "Bring the coordinator or that server back; `understudy health` names it."},
    {N::kSuperseded, "superseded",
     "An active copy here has ended because the group has a newer term for it.",
     "Another copy was made the active one while this server was not heard.",
     "Nothing; what this copy had alone is kept (2035)."},
    {N::kDatabaseAdded, "database added", "A database is part of the group.",
     "`understudy db add`.", ""},
    {N::kDatabaseRemoved, "database removed",
     "A database is no longer part of the group. Its active file stays.", "`understudy db remove`.",
     ""},
    {N::kDatabaseMounted, "mounted",
     "The active copy is mounted: applications can write it, and its commits are captured.",
     "Start, switchover or failover.", ""},
    {N::kMountFailed, "mount failed", "A copy that is to be the active one could not be mounted.",
     "The message says why: its file, its log, or another process that holds it.",
     "Mend what the message names; it is tried again. `understudy failover explain DB` shows other "
     "copies."},
    {N::kDatabaseDismounted, "dismounted",
     "The active copy is dismounted: nobody can write it until it, or another, is mounted.",
     "A switchover, an order, or fencing at the end of a lease.",
     "After a fencing: see 2003 and 2018."},
    {N::kDismountDelayed, "fence delayed",
     "The database cannot be fenced yet because an application holds its write lock.",
     "A write transaction that has been open for as long as the lease lasts.",
     "End that transaction. What it commits is not acknowledged by the group and is kept as lost "
     "log."},
    {N::kCopyRetired, "copy retired",
     "A former active copy has handed in what it had and is a passive copy now.",
     "The group went on in a newer term.", "See 2035, if what it had alone was kept."},
    {N::kSwitchover, "switchover", "The active copy was moved as planned, without loss.",
     "An order, maintenance or rebalancing.", ""},
    {N::kFailover, "failover", "Another copy was made the active one without the old one's help.",
     "The server of the active copy was lost.",
     "Find out why it was lost; the message tells how much could be missing."},
    {N::kFailoverImpossible, "failover impossible",
     "The active copy is lost and no other may take its place.",
     "No copy is within the mount dial, or activation is suspended.",
     "`understudy failover explain DB` gives the reason for each copy; `failover run DB` decides "
     "by hand."},
    {N::kCopyAdded, "copy added", "A copy was added; it is seeded first.", "`understudy copy add`.",
     ""},
    {N::kCopyRemoved, "copy removed", "A copy was removed.", "`understudy copy remove`.", ""},
    {N::kCopySuspended, "copy suspended", "A copy copies and replays nothing until it is resumed.",
     "`understudy copy suspend`.", "`understudy copy resume`: the active copy keeps log for it."},
    {N::kCopyResumed, "copy resumed", "A suspended copy goes on.", "`understudy copy resume`.", ""},
    {N::kCopyStateChanged, "copy state",
     "A copy has another state; the message says which and why.", "As the message says.", ""},
    {N::kCopyFailed, "copy failed",
     "A copy cannot go on as it is, and is mended or tried again by itself.",
     "Damaged or missing log, diverged pages, a full or failing disk.",
     "Free or replace the disk that the message names; `understudy copy reseed` for a copy that "
     "does not recover."},
    {N::kRebalanceFailed, "rebalance failed",
     "An active copy could not be moved to the copy that is preferred for it.",
     "The message says what refused it.",
     "`understudy failover explain DB`; it is tried again later."},
    {N::kPlayDownStarted, "play-down started",
     "A lagged copy replays log before its lag has passed.",
     "An order, or little free space on its disk.",
     "For little space: free some, or lower the replay lag."},
    {N::kPlayDownEnded, "play-down ended", "A lagged copy waits again until its lag has passed.",
     "It has come to where it was to play down to.", ""},
    {N::kCopyExtracted, "copy extracted",
     "A lagged copy's database at a point in time was written.", "`understudy copy activate`.", ""},
    {N::kSeedStarted, "seed started", "A copy receives all pages of the database.",
     "It is new, or its file could not be used.", ""},
    {N::kSeedCompleted, "seed completed", "A copy has all pages, checked, and follows the log.",
     "The seed ended well.", ""},
    {N::kSeedFailed, "seed failed",
     "A seed could not be completed; it goes on, or begins anew, by itself.",
     "The message says which side failed and why.",
     "Mend what it names. Cuts of the connection need nothing: the seed goes on where it was."},
    {N::kResyncStarted, "resync started", "A copy fetches the pages that differ.",
     "It had diverged, or its log has a gap.", ""},
    {N::kResyncCompleted, "resync completed",
     "A copy is equal again; the message tells what was fetched.", "The resync ended well.", ""},
    {N::kLostLogSaved, "lost log saved",
     "Commits that a copy had and the group went on without are kept as a bundle.",
     "A failover: they had not reached the copy that took over.",
     "`understudy lost list` and `lost show`; apply by hand what is still wanted."},
    {N::kLostLogRemoved, "lost log removed", "A bundle of lost log was deleted.",
     "`understudy lost remove`.", ""},
    {N::kContentReplaced, "content replaced",
     "The active copy has the content of an earlier point in time, or of a backup.",
     "`understudy copy activate --into-active`, `understudy restore --in-place`.", ""},
    {N::kBackupStarted, "backup started", "A backup session has begun.",
     "An order, or a restart of the daemon in the middle of one.", ""},
    {N::kBackupCompleted, "backup completed",
     "A backup was stored, read back, checked, and is listed.", "It ended well.", ""},
    {N::kBackupFailed, "backup failed", "A backup has failed; nothing of it is listed or held.",
     "The message and `understudy writers` give phase, cause, limit and setting.",
     "What `understudy writers` says for its last session; then start it again."},
    {N::kBackupAlone, "backup goes on alone",
     "A backup goes on although the active copy's server or the coordinator cannot be told of it.",
     "A cut connection, a dead server, or an answer later than QueryLogRangeTimeoutInMsec.",
     "Nothing for this backup: its consistency point is the copy's own position. If it happens "
     "often, look at the path between the two servers (2153)."},
    {N::kBackupNotAlone, "backup known again", "What 2043 said is over.",
     "The server or coordinator answers again.", ""},
    {N::kBackupAbandoned, "backup abandoned",
     "A requester that copies by itself was silent for too long; its session has ended.",
     "The program died, or was cut off for longer than BackupRequesterTimeoutInMsec.",
     "Start the backup again; raise BackupRequesterTimeoutInMsec for a path with longer cuts."},
    {N::kCaptureFailed, "capture failed",
     "Commits of the active copy cannot be captured at the moment; it is tried again.",
     "A full or failing disk for the log, or a database that cannot be read.",
     "Mend what the message names. Commits made meanwhile are found and captured (2051)."},
    {N::kGapHealed, "gap healed",
     "Commits that were made while nobody captured are in the log now, as one record with the "
     "pages that differ.",
     "Applications wrote while the daemon was away.",
     "Nothing; points in time within the gap cannot be restored."},
    {N::kRolledForward, "rolled forward",
     "The active database was brought to the end of its own log before it was mounted.",
     "A power cut had undone commits that were captured and shipped.", ""},
    {N::kResyncFailed, "resync failed", "As 2032, of a resync.", "As 2032.", "As 2032."},
    {N::kSeedSourceGivenUp, "source of a seed given up",
     "A copy takes the rest of its pages from the active copy, not from the copy it was told to.",
     "That one cannot be reached, is not whole, suspended or lagged, or gave nothing for 30 s.",
     "None is needed for this seed. For the next one: `understudy copy source`."},
    {N::kHookFailed, "hook failed", "A program that is run at a move failed or took too long.",
     "The message has its end and its last words.", "Mend the program, or `hooks.timeout`."},
    {N::kServerJoined, "server joined", "A server is a member of the group.",
     "`understudy server join`.", ""},
    {N::kServerRemoved, "server removed",
     "A server is no longer a member; its certificates count no more.",
     "`understudy server remove`.", ""},
    {N::kCertificateIssued, "certificate issued",
     "A certificate was signed for a person or a server.",
     "`understudy group identity`, `client` or a join.",
     "If nobody asked for it: `understudy client revoke`, and see who may sign."},
    {N::kCertificateRenewed, "certificate renewed", "This server has a new certificate.",
     "The old one was near its end.", ""},
    {N::kCertificateNotRenewed, "certificate not renewed",
     "This server's certificate could not be renewed and ends at the time in the message.",
     "The server that signs is away.", "Bring a server with the authority's key back before then."},
    {N::kTokenMade, "join token made", "A token with which a server may join was made.",
     "`understudy server token`.",
     "If nobody asked for it: see who has an administrator's identity. A token is good once, until "
     "its time."},
    {N::kDamageFound, "damage found", "Bytes on a disk of a copy are not what they should be.",
     "A failing disk, or something that wrote into the file.",
     "It is repaired from another copy (2081) if one is right; check the disk."},
    {N::kDamageRepaired, "damage repaired",
     "A damaged page or log file was replaced from another copy, and read again.",
     "What 2080 said.", "If it comes again on the same server: replace the disk."},
    {N::kDamageNotRepaired, "damage not repaired", "No other copy could give the right bytes.",
     "No copy is reached, or none has this page as it should be.",
     "Bring other copies back; else restore a backup."},
    {N::kScrubStopped, "scrub stopped", "A copy cannot be read again at the moment.",
     "The message says why.", "Mend what it names; the scrub goes on by itself."},
    {N::kStragglerLetGo, "straggler let go",
     "The active copy no longer keeps the log that a passive copy needs. When that copy is back it "
     "is resynchronised by pages, by itself.",
     "The copy was suspended, dead or slow for so long that more log was kept for it than "
     "LogKeptForStragglerInMB, or the log's disk was nearly full.",
     "Resume it or bring its server back; remove the copy if it will not return. "
     "`understudy status DB` marks it until then."},
    {N::kLogDiskLow, "log disk low",
     "The disk of a copy's log is nearly full: log that is only wanted is let go.",
     "Less is free than LooseTruncation_MinDiskFreeSpaceThresholdInMB.",
     "Free some space there; `understudy holds DB` shows who keeps log."},
    {N::kArchiveNeedsBackup, "archive needs a backup",
     "The archive of a database can only go on from a new backup, which is taken at once: an "
     "incremental one, or a full one if that has no base.",
     "There was no backup in the server's repository, what was archived is damaged or gone, or 360 "
     "states follow the last one.",
     "Nothing, if 2041 follows. Of damage: `understudy backup verify` the newest backups."},
    {N::kArchiveFailed, "archive failed",
     "A state of a database could not be archived. It is tried again at each interval; until 2122 "
     "there is nothing newer to restore than what was archived before.",
     "The message says why: most often the repository cannot be written.",
     "Mend what it names; the archive goes on by itself."},
    {N::kArchiveGoesOn, "archive goes on", "What 2121 said is over.", "A state was archived.", ""},
    {N::kConnectionLost, "connection lost",
     "The connection to another server was lost or could not be made. Log goes on from where it "
     "was once it is back.",
     "A cut, a device that drops idle connections, a dead server.",
     "Often on the same path: `ship.heartbeat` below the device's idle limit; look at the device."},
    {N::kConnectionRestored, "connection restored", "What 2153 said is over.",
     "The server answers again.", ""},
    {N::kRecoveryCreated, "recovery database created",
     "The content of a backup lies beside the live database, in a file of its own.",
     "`understudy recovery create`.", ""},
    {N::kRecoveryRemoved, "recovery database removed", "A recovery database was deleted.",
     "`understudy recovery remove`.", ""},
    {N::kScheduleLate, "schedule is late",
     "What a schedule says is due for a database, and no server can do it.",
     "No copy can be backed up by the policy, or its server does not answer; the message says what "
     "is known.",
     "`understudy backup run DB --explain` says which copy is eligible and why others are not. It "
     "is "
     "begun "
     "as soon as one is."},
    {N::kScheduleMadeUp, "schedule made up for",
     "What a schedule said was begun long after it was due; however often it was missed, it is "
     "done "
     "once.",
     "No server could do it when it was due, or the coordinator was away.", ""},
    {N::kScheduleFailed, "scheduled run failed",
     "What a schedule says was begun and has failed. It is tried again after 5 and after 10 "
     "minutes, "
     "then when it is due next.",
     "The message says why; of a backup, 2042 and `understudy writers` say more.",
     "Mend what it names. `understudy schedule run NAME` tries it at once."},
    {N::kDrillGood, "restore drill passed",
     "A backup was restored to a scratch file; SQLite finds it whole, and its checksum is that of "
     "the backup.",
     "A schedule, or `understudy backup drill`.", ""},
    {N::kDrillFailed, "restore drill failed",
     "A backup could not be restored on trial: it would not help in need.",
     "Its data is damaged or missing, or the database was damaged when it was backed up; the "
     "message says which.",
     "Take a full backup now, then `understudy backup verify` the others. If SQLite finds the "
     "database itself damaged: `PRAGMA integrity_check` on the active copy."},
    {N::kBackupsPruned, "backups pruned", "Old backups were removed from a repository.",
     "A schedule, or `understudy backup prune`; the message says by which rules.", ""},
};

constexpr bool IsSorted() {
  for (size_t i = 1; i < std::size(kCatalogue); ++i) {
    if (kCatalogue[i - 1].number >= kCatalogue[i].number) return false;
  }
  return true;
}
static_assert(IsSorted(), "by number, and no number twice");

}  // namespace

std::span<const EventEntry> EventCatalogue() { return kCatalogue; }

const EventEntry* FindEvent(uint32_t number) {
  const auto found =
      std::ranges::lower_bound(kCatalogue, static_cast<N>(number), {}, &EventEntry::number);
  if (found == std::end(kCatalogue) || found->number != static_cast<N>(number)) return nullptr;
  return found;
}

}  // namespace understudy::cluster
