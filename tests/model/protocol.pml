/* The protocol of mapreduce/hosts as it is built: coordinators that claim epochs, accept what attempts have
 * done, log it, and commit; attempts that may end late, after their coordinator; data that may get lost.
 *
 * One map, whose attempts may give different data, and two reduces. Attempts are numbers from 1, and what a
 * reduce has read is the attempt of the map. Every step that is one operation of the store is atomic;
 * everything between two of them may be interleaved, and a coordinator may stop for ever between any two, or
 * go on however late.
 *
 * What must be true: one result is committed; its reduces have read one and the same attempt of the map; what
 * is published is what was committed, and its parts are there.
 *
 * -DNC=2 coordinators, -DA=2 attempts of a task, -DLOST=1 losses of data. Wrong variants, each of which spin
 * must refute: -DOVERWRITE (the commit replaces), -DNO_READ_BACK (who loses publishes its own), -DANY_INPUTS
 * (a reduce of another map attempt is accepted), -DEARLY_PUBLISH (before the commit), -DEARLY_DELETE (parts that
 * a commit may name go before it), -DSAME_NAMES (attempts write under the task's name).
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

#define AT(r, a) ((r) * (A + 1) + (a))
#define LOGGED(r, e) ((r) * (NC + 1) + (e))

byte epoch;                   /* the highest that was claimed */
byte begun, begun_reduce[2];  /* attempts, by whichever coordinator */
bool done[A + 1];             /* map attempts that a host tells of */
bool data[A + 1];             /* what they made, while it is there */
byte asked[2 * (A + 1)];      /* what a reduce attempt is to read; 0: it was not begun, or has ended */
byte read_[2 * (A + 1)];      /* what it has read; 0: it is not done */
bool part[2 * (A + 1)];       /* what it made, while it is there */
byte log_map[NC + 1];         /* by epoch: the attempt that was accepted */
byte log_reduce[2 * (NC + 1)];
byte lost;

byte commits;                 /* how often a result was made final */
byte won[2];                  /* what it is: an attempt of each reduce */
byte published[2];

/* It writes under a name of its own. What it reads is what it was told to read. */
#ifdef SAME_NAMES
#define NAME(a) 1
#else
#define NAME(a) a
#endif

#define END_MAP(a) \
  :: atomic { begun >= a && !done[a] -> data[a] = true; done[a] = true }
#define END_REDUCE(r, a) \
  :: atomic { asked[AT(r, a)] && data[asked[AT(r, a)]] -> \
       read_[AT(r, NAME(a))] = asked[AT(r, a)]; part[AT(r, NAME(a))] = true; asked[AT(r, a)] = 0 }
#define LOSE(a) \
  :: atomic { lost < LOST && data[a] -> data[a] = false; lost++ }

/* Attempts end whenever they like, whoever leads by then. */
proctype World() {
  do
  END_MAP(1)
  END_REDUCE(0, 1)
  END_REDUCE(1, 1)
  LOSE(1)
#if A > 1
  END_MAP(2)
  END_REDUCE(0, 2)
  END_REDUCE(1, 2)
  LOSE(2)
#endif
  od
}

#ifdef ANY_INPUTS
#define FITS(r, a) (read_[AT(r, a)] != 0)
#else
#define FITS(r, a) (read_[AT(r, a)] == map)
#endif

/* Accept what a host tells of: whichever attempt, of whichever coordinator. The log is written at once. */
#define ACCEPT_MAP(a) \
  :: atomic { !map && done[a] && data[a] -> map = a; log_map[e] = a }
#define ACCEPT_REDUCE(r, a) \
  :: atomic { map && !reduce[r] && read_[AT(r, a)] && FITS(r, a) -> reduce[r] = a; log_reduce[LOGGED(r, e)] = a }
#define BEGIN_REDUCE(r) \
  :: atomic { map && !reduce[r] && begun_reduce[r] < A -> \
       begun_reduce[r]++; asked[AT(r, begun_reduce[r])] = map }
/* A reduce that has read another attempt of the map is worth nothing. */
#define DROP_REDUCE(r) \
  :: atomic { map && reduce[r] && read_[AT(r, reduce[r])] != map -> reduce[r] = 0 }

proctype Coordinator() {
  byte e, i, map;
  byte reduce[2], inputs[2];

  atomic { epoch < NC -> epoch++; e = epoch };

  /* What was accepted before: the entry of the newest epoch counts. Entries may be written meanwhile. */
  i = 1;
  do
  :: atomic { i < e -> if :: log_map[i] -> map = log_map[i] :: else fi };
     atomic {
       if :: log_reduce[LOGGED(0, i)] -> reduce[0] = log_reduce[LOGGED(0, i)] :: else fi;
       if :: log_reduce[LOGGED(1, i)] -> reduce[1] = log_reduce[LOGGED(1, i)] :: else fi;
       i++ }
  :: atomic { i >= e -> i = 0; break }
  od;

  do
  :: atomic { commits > 0 -> goto adopt }                        /* another one was first */
  :: atomic { !map && begun < A -> begun++ }
  ACCEPT_MAP(1)
  ACCEPT_REDUCE(0, 1)
  ACCEPT_REDUCE(1, 1)
#if A > 1
  ACCEPT_MAP(2)
  ACCEPT_REDUCE(0, 2)
  ACCEPT_REDUCE(1, 2)
#endif
  BEGIN_REDUCE(0)
  BEGIN_REDUCE(1)
#ifndef ANY_INPUTS
  DROP_REDUCE(0)
  DROP_REDUCE(1)
#endif
  /* A reduce has found that the map's data is gone: the map runs again. */
  :: atomic { map && !data[map] -> map = 0 }
  :: atomic { map && reduce[0] && reduce[1] ->
       inputs[0] = read_[AT(0, reduce[0])]; inputs[1] = read_[AT(1, reduce[1])];
#ifndef ANY_INPUTS
       if :: inputs[0] != map || inputs[1] != map -> goto stopped :: else fi;
#endif
       break }
  :: goto stopped                                                /* it is killed, or frozen for ever */
  od;

#ifdef EARLY_PUBLISH
  atomic { published[0] = reduce[0]; published[1] = reduce[1] };
#endif
#ifdef EARLY_DELETE
  /* What it did not accept itself goes, before the commit says what is named. */
  i = 1;
  do
  :: atomic { i <= A ->
       if :: i != reduce[0] -> part[AT(0, i)] = false :: else fi;
       if :: i != reduce[1] -> part[AT(1, i)] = false :: else fi;
       i++ }
  :: atomic { i > A -> break }
  od;
#endif
  /* The commit: an exclusive create. */
  atomic {
    if
#ifdef OVERWRITE
    :: true ->
#else
    :: commits == 0 ->
#endif
       assert(inputs[0] == inputs[1]);
       commits++; won[0] = reduce[0]; won[1] = reduce[1]
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
  atomic { reduce[0] = won[0]; reduce[1] = won[1] };
publish:
#ifndef EARLY_PUBLISH
  atomic { published[0] = reduce[0]; published[1] = reduce[1] };
#endif
  atomic {
    assert(commits == 1);
    assert(published[0] == won[0] && published[1] == won[1]);
    assert(part[AT(0, won[0])] && part[AT(1, won[1])]);
    assert(read_[AT(0, won[0])] == read_[AT(1, won[1])])
  };
stopped: skip
}

init {
  byte k;
  atomic {
    do :: k < NC -> run Coordinator(); k++ :: else -> break od;
    run World()
  }
}
