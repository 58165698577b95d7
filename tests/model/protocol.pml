/* The protocol of mapreduce/hosts as it is built: coordinators that claim epochs, accept what attempts have
 * done, log it, and commit; attempts that may end late, after their coordinator; data that may get lost.
 *
 * Two maps, whose attempts may give different data, and two reduces. An attempt is a number from 1, and what a
 * reduce has read is the pair of attempts of the maps, as one number. Every step that is one operation of the
 * store is atomic; everything between two of them may be interleaved, and a coordinator may stop for ever
 * between any two, or go on however late.
 *
 * What must be true: one result is committed; its reduces have read one and the same attempt of each map; what
 * is published is what was committed.
 *
 * -DNC=2 coordinators, -DA=2 attempts of a task, -DLOST=1 losses of data. Wrong variants, each of which spin
 * must refute: -DOVERWRITE (the commit replaces), -DNO_READ_BACK (who loses publishes its own), -DANY_INPUTS
 * (a reduce of other maps is accepted), -DEARLY_PUBLISH (before the commit), -DEARLY_DELETE (data that a commit
 * may name goes before it), -DSAME_NAMES (attempts write under the task's name).
 */
#ifndef NC
#define NC 2
#endif
#ifndef A
#define A 2
#endif
#ifndef LOST
#define LOST 1
#endif

#define PAIR(a, b) ((a) * (A + 1) + (b))

byte epoch;                 /* the highest that was claimed */
byte next_map[2];           /* attempts that were begun */
byte next_reduce[2];
bool data[2 * (A + 1)];     /* of map attempts, while it is there */
bool map_done[2 * (A + 1)]; /* reported by a host */
byte read_[2 * (A + 1)];    /* what a reduce attempt has read; 0: it is not done */
bool part[2 * (A + 1)];     /* of reduce attempts, while it is there */
byte log_map[2 * (NC + 1)]; /* by epoch: the attempt that was accepted */
byte log_reduce[2 * (NC + 1)];
byte lost;

byte commits;               /* how often a result was made final */
byte won;                   /* what it is: inputs of its reduces, and which attempts they are */
byte won_part[2];
byte published, published_part[2];

#define AT(task, attempt) ((task) * (A + 1) + (attempt))
#define LOGGED(task, e) ((task) * (NC + 1) + (e))

proctype MapAttempt(byte m; byte a) {
  atomic { data[AT(m, a)] = true; map_done[AT(m, a)] = true }
}

proctype ReduceAttempt(byte r; byte a; byte first; byte second) {
  /* It reads the data of both maps, one after another, and writes its part under a name of its own. */
  if
  :: data[AT(0, first)]
  :: !data[AT(0, first)] -> goto ended
  fi;
  if
  :: data[AT(1, second)]
  :: !data[AT(1, second)] -> goto ended
  fi;
#ifdef SAME_NAMES
  atomic { read_[AT(r, 1)] = PAIR(first, second); part[AT(r, 1)] = true };
#else
  atomic { read_[AT(r, a)] = PAIR(first, second); part[AT(r, a)] = true };
#endif
ended: skip
}

proctype Loss() {
  do
  :: atomic { lost < LOST && data[AT(0, 1)] -> data[AT(0, 1)] = false; lost++ }
  :: atomic { lost < LOST && data[AT(1, 1)] -> data[AT(1, 1)] = false; lost++ }
  :: atomic { lost < LOST && data[AT(0, A)] -> data[AT(0, A)] = false; lost++ }
  :: break
  od
}

/* Accept an attempt of a task that a host tells of. */
#define ACCEPT_MAP(m, a) \
  :: atomic { !map[m] && map_done[AT(m, a)] && data[AT(m, a)] -> map[m] = a; log_map[LOGGED(m, e)] = a }
#ifdef ANY_INPUTS
#define FITS(r, a) (read_[AT(r, a)] != 0)
#else
#define FITS(r, a) (read_[AT(r, a)] == PAIR(map[0], map[1]))
#endif
#define ACCEPT_REDUCE(r, a) \
  :: atomic { map[0] && map[1] && !reduce[r] && FITS(r, a) -> reduce[r] = a; log_reduce[LOGGED(r, e)] = a }

proctype Coordinator() {
  byte e, i, inputs;
  byte map[2], reduce[2], reduce_inputs[2];

  atomic { epoch < NC -> epoch++; e = epoch };

  /* What was accepted before: the entry of the newest epoch counts. Entries may be written meanwhile. */
  i = 1;
  do
  :: atomic { i < e ->
       if :: log_map[LOGGED(0, i)] -> map[0] = log_map[LOGGED(0, i)] :: else fi;
       if :: log_map[LOGGED(1, i)] -> map[1] = log_map[LOGGED(1, i)] :: else fi };
     atomic {
       if :: log_reduce[LOGGED(0, i)] -> reduce[0] = log_reduce[LOGGED(0, i)] :: else fi;
       if :: log_reduce[LOGGED(1, i)] -> reduce[1] = log_reduce[LOGGED(1, i)] :: else fi;
       i++ }
  :: atomic { i >= e -> i = 0; break }
  od;

  do
  :: commits > 0 -> goto adopt                                 /* another one was first */
  /* a reduce that has read other maps is worth nothing */
#ifndef ANY_INPUTS
  :: atomic { map[0] && map[1] && reduce[0] && read_[AT(0, reduce[0])] != PAIR(map[0], map[1]) ->
       reduce[0] = 0 }
  :: atomic { map[0] && map[1] && reduce[1] && read_[AT(1, reduce[1])] != PAIR(map[0], map[1]) ->
       reduce[1] = 0 }
#endif
  /* begin an attempt */
  :: atomic { !map[0] && next_map[0] < A -> next_map[0]++; run MapAttempt(0, next_map[0]) }
  :: atomic { !map[1] && next_map[1] < A -> next_map[1]++; run MapAttempt(1, next_map[1]) }
  :: atomic { map[0] && map[1] && !reduce[0] && next_reduce[0] < A ->
       next_reduce[0]++; run ReduceAttempt(0, next_reduce[0], map[0], map[1]) }
  :: atomic { map[0] && map[1] && !reduce[1] && next_reduce[1] < A ->
       next_reduce[1]++; run ReduceAttempt(1, next_reduce[1], map[0], map[1]) }
  ACCEPT_MAP(0, 1)
  ACCEPT_MAP(1, 1)
  ACCEPT_REDUCE(0, 1)
  ACCEPT_REDUCE(1, 1)
#if A > 1
  ACCEPT_MAP(0, 2)
  ACCEPT_MAP(1, 2)
  ACCEPT_REDUCE(0, 2)
  ACCEPT_REDUCE(1, 2)
#endif
  /* a reduce has found that a map's data is gone: the map runs again */
  :: atomic { map[0] && !data[AT(0, map[0])] && commits == 0 -> map[0] = 0 }
  :: atomic { map[1] && !data[AT(1, map[1])] && commits == 0 -> map[1] = 0 }
  :: map[0] && map[1] && reduce[0] && reduce[1] -> break
  :: goto stopped                                              /* it is killed, or frozen for ever */
  od;

  /* What was accepted does not change any more in this coordinator. */
  inputs = PAIR(map[0], map[1]);
  reduce_inputs[0] = read_[AT(0, reduce[0])];
  reduce_inputs[1] = read_[AT(1, reduce[1])];
#ifndef ANY_INPUTS
  if
  :: reduce_inputs[0] != inputs || reduce_inputs[1] != inputs -> goto stopped
  :: else
  fi;
#endif
#ifdef EARLY_PUBLISH
  atomic { published = inputs; published_part[0] = reduce[0]; published_part[1] = reduce[1] };
#endif
#ifdef EARLY_DELETE
  /* what it did not accept itself goes, before the commit says what is named */
  i = 1;
  do
  :: i <= A ->
     atomic { if :: i != reduce[0] -> part[AT(0, i)] = false :: else fi };
     atomic { if :: i != reduce[1] -> part[AT(1, i)] = false :: else fi };
     i++
  :: else -> break
  od;
#endif
  /* the commit: an exclusive create */
  atomic {
    if
#ifdef OVERWRITE
    :: true ->
#else
    :: commits == 0 ->
#endif
       assert(reduce_inputs[0] == reduce_inputs[1]);
       commits++; won = inputs; won_part[0] = reduce[0]; won_part[1] = reduce[1]
#ifndef OVERWRITE
    :: else
#endif
    fi
  };
  assert(commits == 1);
#ifdef NO_READ_BACK
  goto publish;
#endif
adopt:
  atomic { inputs = won; reduce[0] = won_part[0]; reduce[1] = won_part[1] };
publish:
#ifndef EARLY_PUBLISH
  atomic { published = inputs; published_part[0] = reduce[0]; published_part[1] = reduce[1] };
#endif
  assert(commits == 1);
  assert(published == won && published_part[0] == won_part[0] && published_part[1] == won_part[1]);
  assert(part[AT(0, won_part[0])] && part[AT(1, won_part[1])]);
  assert(read_[AT(0, won_part[0])] == read_[AT(1, won_part[1])]);
stopped: skip
}

init {
  byte k;
  atomic {
    do :: k < NC -> run Coordinator(); k++ :: else -> break od;
    run Loss()
  }
}
