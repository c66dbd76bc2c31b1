/*
 * The phase protocol of Unstick: two proxies, two instances, one session, one coordinator.
 * README.md in this folder says what is modelled and what is not. run.sh checks it exhaustively.
 *
 * Every rule of the protocol that the model relies on can be taken out with -DMUTANT_...;
 * each of them must then lead to a failing assertion.
 */

/* The public phases, with the sub-phases that make neighbours really compatible.
 *   0 sticky        0  S   forward to the home, nothing else
 *   1 mirroring     1  MN  changes are mirrored, a missing session is never hydrated ("absent")
 *                   2  MH  changes are mirrored, a missing session is hydrated
 *   2 externalized  3  EN  store's version first; only the home serves
 *                   4  ER  store's version first; when the home is out of reach another instance serves, as in ST
 *   3 stateless     5  ST  any instance; version and tag must match exactly
 */
#define S  0
#define MN 1
#define MH 2
#define EN 3
#define ER 4
#define ST 5

#ifndef WRITES
#define WRITES 3        /* write attempts, on top of the session's creation in sticky */
#endif
#ifndef GENS
#define GENS 2          /* mirroring runs */
#endif
#ifndef DEATHS
#define DEATHS 1        /* an instance dies and comes back empty */
#endif
#ifndef LOST
#define LOST 1          /* a response is lost between instance and proxy: outcome unknown */
#endif
#ifndef LOGOUTS
#define LOGOUTS 1       /* the client may log out */
#endif

#define NONE 0          /* store row: no row / live / tombstone */
#define LIVE 1
#define TOMB 2

#define READ   0        /* the client's requests */
#define WRITE  1
#define LOGOUT 2

#define HOME 0          /* the affinity cookie names instance 0 for good */

/* Routing tables: what the coordinator published, what each proxy works with, who acknowledged. */
byte tlev = S, tgen = 0;
byte plev[2] = S, pgen[2] = 0;
bool adopted[2] = true, ack[2] = true;

/* Instances. A tag stands for the content: it is the number of the write attempt that made it. */
bool up[2] = true;
bool has[2];            /* session in memory */
byte mver[2], mtag[2];
bool silent[2];         /* changed since the bridge last counted a version (sticky does not serialize) */

/* Store: one row. */
byte srow = NONE, sver, stag, sgen;

/* Ghosts: what the client may rely on. */
byte tries = 1;         /* write attempts so far; the first one created the session */
byte mask[WRITES + 2];  /* mask[t]: bit set of the contents that content t descends from, t included */
byte acked = 1;         /* the newest content the client had acknowledged or saw */
bool gone = false;      /* logout acknowledged, or seen */
bool maygone = false;   /* logout attempted */
bool covered = false;   /* from here on a death must not lose anything */
byte deaths = DEATHS, lost = LOST;

/* The request in flight (the client is sequential). */
bool busy = false, old = false;   /* old: it began under an older table than its proxy's present one */
bit  rp;                          /* its proxy */

#define descends(t, from)  ((mask[t] >> (from)) & 1)
#define settled            (ack[0] && ack[1])
#ifdef MUTANT_NO_NEW_GENERATION
#define liverow(g)         (srow == LIVE)
#else
#define liverow(g)         (srow == LIVE && sgen == (g))
#endif
#define tombrow(g)         (srow == TOMB && sgen == (g))

/* Save a copy. An older generation's row counts for nothing, a tombstone always wins. In mirroring the newer
   version wins; later (cas) a live row is only replaced by a copy that descends from it. */
inline save(g, v, t, cas, ok) {
    ok = true;
    if
    :: tombrow(g) -> ok = false
    :: liverow(g) && ((stag == t && sver == v) || (!(cas) && v <= sver)) -> skip
    :: liverow(g) && cas && !(stag == t && sver == v) && (v <= sver || !descends(t, stag)) -> ok = false
    :: else -> srow = LIVE; sgen = g; sver = v; stag = t
    fi
}

/* the bridge's serialization notices what happened behind its back */
inline count_silent(i) {
    if
    :: has[i] && silent[i] -> mver[i]++; silent[i] = false
    :: else
    fi
}

inline put(i, v, t) { has[i] = true; mver[i] = v; mtag[i] = t; silent[i] = false }
inline evict(i)     { has[i] = false; mver[i] = 0; mtag[i] = 0; silent[i] = false }

/* ------------------------------------------------------------------ client and proxy */

active proctype client() {
    byte op, lev, gen, inst;
    byte wrow, wver, wtag;       /* what the store said before the app ran */
    byte rver, rtag;             /* what the instance answered */
    bool found, exact, hydrate, ok;

    mask[1] != 0;                /* the session exists */

    do
    :: atomic {                                     /* begin: the table is read once */
         if :: rp = 0 :: rp = 1 fi;
         if
         :: op = READ
         :: !gone && tries <= WRITES -> op = WRITE
         :: LOGOUTS && !maygone -> op = LOGOUT
         fi;
         busy = true; old = false; lev = plev[rp]; gen = pgen[rp];
         if
         :: inst = HOME
         :: lev >= ER -> inst = 1 - HOME            /* ER: out of reach from this proxy */
         fi;
         exact = (lev == ST || inst != HOME)
       }
       /* phase >= 2: what the store has */
       if
       :: lev >= EN -> d_step {
            wrow = NONE;
            if
            :: liverow(gen) -> wrow = LIVE; wver = sver; wtag = stag
            :: tombrow(gen) -> wrow = TOMB
            :: else
            fi }
       :: else
       fi;
       /* the bridge: serve, or missing/stale */
       atomic {
         hydrate = false; found = false;
         if
         :: !up[inst] -> goto done                  /* 502/503, the app did not run */
         :: else
         fi;
         if
         :: lev == S -> found = has[inst]
         :: lev == MN -> found = has[inst];
#ifdef MUTANT_HYDRATE_IN_MIXED_MIRRORING
            hydrate = !found;
#endif
         :: lev == MH -> found = has[inst]; hydrate = !found
         :: lev >= EN && wrow == TOMB -> evict(inst)                   /* absent */
         :: lev >= EN && wrow == NONE -> found = has[inst]             /* no want */
         :: lev >= EN && wrow == LIVE ->
            count_silent(inst);
#ifdef MUTANT_WANT_BY_VERSION
            found = has[inst] && (exact -> (mver[inst] == wver && mtag[inst] == wtag) : mver[inst] >= wver);
#else
            found = has[inst] && (exact -> (mver[inst] == wver && mtag[inst] == wtag) : descends(mtag[inst], wtag));
#endif
            hydrate = !found;
#ifdef MUTANT_NO_HYDRATE_ON_MISSING
            if :: !has[inst] -> hydrate = false :: else fi
#endif
         fi;
#ifdef MUTANT_NO_HYDRATE_ON_MISSING
         if :: lev == MH -> hydrate = false :: else fi;
#endif
         if
         :: found -> goto app
         :: !found && !hydrate -> goto answered
         :: else
         fi
       }
       /* missing or stale: load, put */
       d_step {
         wrow = NONE;
         if
         :: liverow(gen) -> wrow = LIVE; wver = sver; wtag = stag
         :: tombrow(gen) -> wrow = TOMB
         :: else
         fi }
       atomic {
         if
         :: !up[inst] -> goto done
         :: up[inst] && wrow == LIVE -> put(inst, wver, wtag); found = true
         :: up[inst] && wrow != LIVE -> evict(inst); goto answered     /* absent */
         fi;
app:     rver = mver[inst]; rtag = mtag[inst];
         if
         :: op == READ ->
            if
            :: lev >= MN -> count_silent(inst); rver = mver[inst]
            :: else
            fi
         :: op == WRITE ->
            tries++; mask[tries] = mask[rtag] | (1 << tries); rtag = tries;
            mtag[inst] = rtag;
            if
            :: lev == S -> silent[inst] = true
            :: else -> mver[inst]++; silent[inst] = false
            fi;
            rver = mver[inst]
         :: op == LOGOUT -> maygone = true; rver = mver[inst] + 1; evict(inst)
         fi;
         wrow = NONE; wver = 0; wtag = 0; exact = false; hydrate = false;
         if
         :: true                                    /* the response head comes back */
         :: lost > 0 && op != READ -> lost--; goto done
         fi
       }
answered:
       /* mirror, then release */
       atomic {
         if
         :: lev == S
         :: lev >= MN && found && op == LOGOUT -> srow = TOMB; sgen = gen; sver = rver; stag = 0
         :: lev >= MN && !found ->
            if
            :: lev == MN && liverow(gen) -> srow = TOMB; stag = 0  /* told "fresh": it stays gone */
            :: else
            fi
         :: lev >= MN && found && op != LOGOUT ->
            /* a read of what the store already has, as far as versions tell, is a mere touch and checks nothing;
               a read of a newer copy is mirrored like a write (that copy's own response was lost) */
            if
            :: op == READ && (tombrow(gen) || (liverow(gen) && rver <= sver)) -> ok = true
#ifdef MUTANT_READ_IS_NOT_MIRRORED
            :: op == READ && !tombrow(gen) && !(liverow(gen) && rver <= sver) -> ok = true
#endif
            :: op == WRITE -> save(gen, rver, rtag, (lev >= EN), ok)
#ifndef MUTANT_READ_IS_NOT_MIRRORED
            :: op == READ && !tombrow(gen) && !(liverow(gen) && rver <= sver) -> save(gen, rver, rtag, (lev >= EN), ok)
#endif
            fi;
            if
            :: !ok -> evict(inst); goto done        /* conflict: not released, the next request hydrates */
            :: else
            fi
         fi;
         if
         :: !found -> assert(gone || maygone); gone = true             /* (a): it cannot just vanish */
         :: found && op == LOGOUT -> assert(!gone); gone = true
         :: found && op != LOGOUT ->
            assert(!gone);                                             /* (c) */
            assert(descends(rtag, acked));                             /* (a), (b) */
            acked = rtag
         fi
       }
done:  atomic {
         busy = false; old = false; rp = 0; op = 0; lev = 0; gen = 0; inst = 0;
         wrow = 0; wver = 0; wtag = 0; rver = 0; rtag = 0; found = false; exact = false; hydrate = false; ok = false
       }
    od
}

/* ------------------------------------------------------------------ proxies' control side */

#ifdef MUTANT_NO_GRACE
#define graceover(p) true
#else
#define graceover(p) !(busy && rp == p && old)
#endif

#ifdef MUTANT_BOOT_AS_EXTERNALIZED
#define inorder(p) true
bool boots = true;
#else
#define inorder(p) (p == 0 || adopted[0])
#endif

/* The proxies are alike, so that proxy 0 always adopts first loses no behaviour. */
active [2] proctype proxy() {
    byte me = _pid - 1;
    do
    :: atomic { !adopted[me] && inorder(me) ->
         adopted[me] = true; plev[me] = tlev; pgen[me] = tgen;
         if :: busy && rp == me -> old = true :: else fi
       }
#ifdef MUTANT_BOOT_AS_EXTERNALIZED
    /* restarts without a table and serves as phase 2 until it has one,
       even if it somehow guesses the generation */
    :: atomic { boots && me == 1 && adopted[me] && ack[me] && !(busy && rp == me) ->
         boots = false; adopted[me] = false; plev[me] = EN; pgen[me] = tgen }
#endif
    :: atomic { adopted[me] && !ack[me] && graceover(me) -> ack[me] = true }
    od
}

/* ------------------------------------------------------------------ an instance dies */

active proctype reaper() {
    byte i;
    do
#ifdef MUTANT_DEATH_BEFORE_COVERAGE
    :: atomic { deaths > 0 && tlev >= MN && settled ->
#else
    :: atomic { deaths > 0 && covered ->
#endif
         deaths--;
         if :: i = 0 :: i = 1 fi;
         up[i] = false; evict(i)
       }
       atomic { up[i] = true; i = 0 }
    od
}

/* ------------------------------------------------------------------ coordinator */

#define publish(l)  tlev = l; adopted[0] = false; adopted[1] = false; ack[0] = false; ack[1] = false

inline read_row() {
    d_step {
      row = NONE;
      if
      :: liverow(tgen) -> row = LIVE; v = sver; t = stag
      :: tombrow(tgen) -> row = TOMB
      :: else
      fi
    }
}

inline repatriate() {
    read_row();
    atomic {
      if
      :: row == LIVE && up[HOME] && !(has[HOME] && descends(mtag[HOME], t)) -> put(HOME, v, t)
#ifndef MUTANT_FORGET_TOMBSTONE
      :: row == TOMB -> evict(HOME)
#endif
      :: else
      fi
    }
#ifndef MUTANT_KEEP_STRAYS
    atomic { if :: has[1 - HOME] -> evict(1 - HOME) :: else fi }
#endif
    atomic { row = NONE; v = 0; t = 0 }
#ifndef MUTANT_NO_BARRIER
    /* an epoch that changes nothing but number: what ran before the copying is in the store after it */
    atomic { publish(tlev) }
    settled
#endif
}


active proctype coordinator() {
    byte i, v, t, row, passes;
    bool h, ok;

    atomic {
      mask[1] = 2; has[HOME] = true; mtag[HOME] = 1; silent[HOME] = true
    }
    do
    :: atomic { settled; 
         covered = (tlev >= MH);
         i = 0; v = 0; t = 0; row = 0; h = false; ok = false }
       if
       /* ---------------- forward */
       :: atomic { tlev == S && tgen < GENS ->
            tgen++;
            publish(MN) }
       :: tlev == MN || tlev == MH ->
#ifndef MUTANT_NO_VERIFY
          /* Backfill, only while no death is covered: an export that arrives late could otherwise bring back
             what a dead incarnation held on top of what its successor has been told meanwhile. */
          passes = (tlev == MN -> 0 : 2);
#ifdef MUTANT_BACKFILL_AFTER_COVERAGE
          passes = 0;
#endif
          do
          :: passes < 2 ->
             atomic { count_silent(i); h = has[i]; v = mver[i]; t = mtag[i] }
             atomic { if :: h -> save(tgen, v, t, false, ok) :: else fi; ok = false;
                      i = 1 - i; passes++; h = false; v = 0; t = 0 }
          :: else -> break
          od;
          /* on the way from MN: a row that nobody's memory holds is a left-over of a sticky logout */
          if
          :: tlev == MN ->
#ifndef MUTANT_KEEP_ORPHANS
             atomic { h = (srow == LIVE && sgen == tgen); v = sver; t = stag }
             atomic { if
                      :: h && !has[0] && !has[1] && srow == LIVE && sver == v && stag == t ->
                         srow = NONE; sver = 0; stag = 0; sgen = 0
                      :: else
                      fi; h = false; v = 0; t = 0 }
#endif
          :: else
          fi;
          /* verify: memory first, then the store */
          passes = 0; ok = true;
          do
          :: passes < 2 ->
             atomic { count_silent(i); h = has[i]; v = mver[i]; t = mtag[i]; if :: !up[i] -> ok = false :: else fi }
             atomic { if
                      :: h && !(liverow(tgen) && sver == v && stag == t) -> ok = false
                      :: else
                      fi; i = 1 - i; passes++; h = false; v = 0; t = 0 }
          :: else -> break
          od;
#else
          ok = true;
#endif
          atomic {
            if
            :: ok && tlev == MN -> publish(MH)
#ifdef MUTANT_SKIP_STEP
            :: ok && tlev == MH -> publish(ST)
#else
            :: ok && tlev == MH -> publish(EN)
#endif
            :: !ok                                    /* refused, nothing changed */
            fi; passes = 0; i = 0; ok = false }
       :: atomic { tlev == EN -> publish(ER) }
       :: atomic { tlev == ER -> publish(ST) }
       /* ---------------- back */
       :: atomic { tlev == ST -> publish(ER) }
#ifndef MUTANT_REHOME_DURING_REPATRIATION
       :: atomic { tlev == ER -> publish(EN) }
       :: tlev == EN || tlev == MH ->
#else
       :: tlev == ER || tlev == MH ->
#endif
          /* EN -> MH: repatriate while the store is the authority; an outdated put is caught there.
             MH -> MN: memory is the authority, so look at it, but do not touch it. A home that lacks
             the session is a refusal: the way out is EN and back. */
          ok = true;
          if
          :: tlev >= EN ->
#ifndef MUTANT_NO_REPATRIATION
             repatriate();
             read_row()
#endif
          :: tlev == MH ->
#ifndef MUTANT_NO_RECHECK
#ifdef MUTANT_REPAIR_IN_MIRRORING
             repatriate();
#endif
             read_row()
#endif
          fi;
          atomic {
            if
            :: row == LIVE -> ok = up[HOME] && has[HOME] && descends(mtag[HOME], t)
#ifndef MUTANT_FORGET_TOMBSTONE
            :: row == TOMB -> ok = !has[HOME]
#endif
            :: else
            fi;
            if
            :: ok && tlev >= EN -> publish(MH)
            :: ok && tlev == MH -> covered = false; publish(MN)
            :: !ok
            fi; row = 0; v = 0; t = 0; ok = false }
       :: atomic { tlev == MN -> publish(S) }
       fi
    od
}
