// SPDX-License-Identifier: Apache-2.0
// The pin rules of docs/design/0001-capture-pins.md against writers and checkpointers as SQLite
// 3.40 has them (wal.c; function names in parentheses). Checked by check_pins.py.
//
// Proved for every interleaving within the bounds below:
//   no frame is lost             the WAL is restarted only when all its frames were captured
//   no checkpoint overlaps       nBackfill is never published by a checkpointer whose header was
//   a restart                    read before a restart (the WAL-reset bug)
//
// Each -D below takes one rule away; the model must fail then.
//   NO_CAPTURED_CHECK   rule 2: leave S although frames are not captured
//   NO_SECOND_LOOK      rule 2: complete is not verified again under the next pin
//   NO_NEXT_PIN         rule 1: S is left with no other pin held
//   K_BEFORE_S          rule 4: K is dropped before S is taken
//   Z_BEFORE_S          rule 4: the same for Z
//   Z_AT_ONCE           rule 5: Z is dropped though somebody without WRITE holds CKPT
//   NO_CAPTURE          no capture at all: plain SQLite has the WAL-reset bug

#define RUNS 4     /* restarts + 1 */
#define FRAMES 2   /* commits in a run */
#define CAPTURE 9  /* capture's name as the owner of a lock; others use _pid */

byte wal = 1;      /* which run of the WAL: its salts */
byte mx = 0;       /* mxFrame */
byte bf = 0;       /* nBackfill */

byte write_by = 0; /* WRITE_LOCK's owner */
byte ckpt_by = 0;  /* CKPT_LOCK's owner */
byte zero_shared = 0;    /* writers with READ_LOCK(0) */
bool zero_alone = false; /* a checkpointer has READ_LOCK(0) exclusively */
byte marks = 0;          /* writers with READ_LOCK(1..3) */

bool s = true, z = false; /* capture's pins; K is ckpt_by == CAPTURE */
byte cap_run = 1;
byte cap = 0;

#ifdef NO_CAPTURE
#define ALL_CAPTURED true
#define PINNED_S false
#define PINNED_Z false
#else
#define ALL_CAPTURED (mx == 0 || (cap_run == wal && cap == mx))
#define PINNED_S s
#define PINNED_Z z
#endif

/* Who has READ_LOCK(1..4) exclusively and the write lock puts the WAL back to its start. */
inline Restart() {
  assert(ALL_CAPTURED); /* no frame is lost */
  wal++; mx = 0; bf = 0
}

proctype Writer() {
  byte h_run, h_mx;
  bool zero;
end:
  do
  :: atomic { /* sqlite3WalBeginReadTransaction; a checkpointer's lock on 0 makes it take a mark */
       (wal < RUNS || mx < FRAMES) ->
       h_run = wal; h_mx = mx; zero = (bf == mx && !zero_alone);
       if :: zero -> zero_shared++ :: else -> marks++ fi
     }
     if
     :: atomic { (write_by == 0) -> write_by = _pid }
        if
        :: (h_run == wal && h_mx == mx) ->
           if
           :: zero ->
              atomic { /* walRestartLog */
                if
                :: (bf > 0 && !PINNED_S && marks == 0 && wal < RUNS) -> Restart()
                :: else
                fi
              }
              atomic { zero_shared--; marks++; zero = false }
           :: else
           fi;
           if
           :: atomic { (mx < FRAMES) -> mx++ } /* sqlite3WalFrames, committed */
           :: true /* rolled back */
           fi
        :: else /* SQLITE_BUSY_SNAPSHOT */
        fi;
        write_by = 0
     :: true /* busy, or only reads */
     fi;
     atomic { if :: zero -> zero_shared-- :: else -> marks-- fi; zero = false }
  od
}

proctype Checkpointer() { /* sqlite3WalCheckpoint, walCheckpoint */
  byte h_run, h_mx;
  bool writes;
end:
  do
  :: atomic { (ckpt_by == 0) -> ckpt_by = _pid }
     if
     :: atomic { (write_by == 0) -> write_by = _pid; writes = true } /* FULL, RESTART, TRUNCATE */
     :: writes = false                                               /* PASSIVE, or WRITE is busy */
     fi;
     atomic { h_run = wal; h_mx = mx } /* walIndexReadHdr */
     if
     :: (bf < h_mx) ->
        if
        :: atomic { (marks == 0 && zero_shared == 0 && !PINNED_Z) -> zero_alone = true }
           atomic {
             assert(h_run == wal); /* no checkpoint overlaps a restart */
             bf = h_mx
           }
           zero_alone = false
        :: true /* busy; a checkpointer with WRITE may also wait: it gives up at some time */
        fi
     :: else
     fi;
     if
     :: writes ->
        if
        :: atomic { /* RESTART and TRUNCATE wait for READ_LOCK(1..4); TRUNCATE restarts itself */
             (bf == h_mx && mx > 0 && !PINNED_S && marks == 0 && wal < RUNS) -> Restart() }
        :: true
        fi;
        write_by = 0
     :: else
     fi;
     atomic { ckpt_by = 0; writes = false }
  od
}

#ifndef NO_CAPTURE
#define COMPLETE (mx == 0 || (cap_run == wal && cap == mx && bf == mx))
#ifdef NO_CAPTURED_CHECK
#define MAY_LEAVE (mx == 0 || bf == mx)
#else
#define MAY_LEAVE COMPLETE
#endif
#ifdef NO_SECOND_LOOK
#define STILL true
#else
#define STILL MAY_LEAVE
#endif
#define NEWS (mx != 0 && (wal != cap_run || mx != cap))

proctype Capture() {
end:
  do
  /* Reading: a frame that a consistent header has, under any pin. */
  :: atomic { (mx != 0 && wal != cap_run) -> cap_run = wal; cap = 0 }
  :: atomic { (wal == cap_run && cap < mx) -> cap++ }

  /* Rules 2 and 3: PinKeeper::TryLeaveS. */
  :: (s && !z && ckpt_by != CAPTURE && MAY_LEAVE) ->
#ifdef NO_NEXT_PIN
     s = false; /* and take it again some time later, below */
#else
     if
     :: atomic { (ckpt_by == 0) -> ckpt_by = CAPTURE }
        if
        :: atomic { STILL -> skip } s = false
        :: else -> ckpt_by = 0
        fi
     :: atomic { (ckpt_by != 0 && !zero_alone) -> z = true }
        if
        :: atomic { STILL -> skip } s = false
        :: else -> z = false
        fi
     :: (ckpt_by != 0)
     fi
#endif

#ifdef NO_NEXT_PIN
  :: (!s && NEWS) -> s = true
#endif
  /* Rule 9: PinKeeper::HoldOff, LetOthersCheckpoint (for our own checkpoint: the Checkpointer here),
     and TryLeaveS with K held already. */
  :: atomic { (s && !z && ckpt_by == 0) -> ckpt_by = CAPTURE }
  :: atomic { (s && ckpt_by == CAPTURE) -> ckpt_by = 0 }
  :: (s && !z && ckpt_by == CAPTURE) ->
     if
     :: atomic { STILL -> skip } s = false
     :: else
     fi
  /* Rule 3: PinKeeper::TradeKForZ, and back. */
  :: atomic { (!s && !z && ckpt_by == CAPTURE && !zero_alone) -> z = true }
     if
     :: atomic { COMPLETE -> skip } ckpt_by = 0
     :: else -> z = false
     fi
  :: atomic { (!s && z && ckpt_by == 0) -> ckpt_by = CAPTURE } z = false

  /* Rule 4: PinKeeper::BeforeCapture. */
  :: (!s && ckpt_by == CAPTURE && NEWS) ->
#ifdef K_BEFORE_S
     ckpt_by = 0; s = true
#else
     s = true;
     if :: ckpt_by = 0 :: skip /* rule 9 */ fi
#endif
  /* Rules 5 and 6: PinKeeper::LeaveZ. */
  :: (!s && z && NEWS) ->
#ifdef Z_BEFORE_S
     z = false; s = true
#else
     s = true;
#ifdef Z_AT_ONCE
     z = false
#else
     if
     :: atomic { (ckpt_by == 0) -> ckpt_by = CAPTURE } z = false; ckpt_by = 0
     :: atomic { (ckpt_by != 0 && write_by == ckpt_by) -> z = false }
     fi
#endif
#endif
  od
}
#endif

init {
  atomic {
    run Writer(); run Writer(); run Checkpointer();
#ifndef NO_CAPTURE
    run Capture()
#endif
  }
}
