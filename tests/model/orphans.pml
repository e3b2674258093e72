/*
 * Orphans: leases of lost claim replies, freed by what a heartbeat does not name.
 *
 * One session of one executor asks with two requests, each of which is granted a lease of a
 * run of its own. A request that was sent may be served never, once or again, at any later
 * moment; so may a heartbeat, and its answers may come late and in any order. A heartbeat
 * names the leases that the executor knows, the requests that it still waits for, and `asOf`:
 * the server's time of the last renewal answer that it had received.
 *
 * No lease may be freed that the executor knows, or whose reply it would still take. One
 * whose reply it has given up is freed by the second heartbeat that is answered after that.
 * Served is in one step what is one transaction in the service.
 */

#define REQUESTS  2     /* request r may get lease r */
#ifndef BEATS
#define BEATS     2
#endif
#define SERVINGS  2     /* how often a heartbeat may come */
#define BIT(n)    (1 << (n))

/* The rows that this session holds, and which requests have got theirs. */
byte granted, alive, started;
byte granted_at[REQUESTS];

/* The server's clock: another time whenever it is read. */
byte now = 1;

/* The network, and the executor. */
byte sent, waits_for, given_up, knows;
byte as_of;             /* 0: no renewal was answered yet */

/* The heartbeats as they were composed, how often each came, and what it was answered. */
byte beats;
byte named[BEATS], claiming[BEATS], since[BEATS], given_up_then[BEATS], servings[BEATS];
byte answered_at[BEATS * SERVINGS];

/* Requests whose leases the executor has, or would still take. */
byte wanted;

bit what_is_wanted_is_never_freed = 1;
bit an_orphan_is_freed_by_the_second_heartbeat = 1;

inline claim(r)
{
  if
  :: !(granted & BIT(r)) ->
    granted = granted | BIT(r);
    alive = alive | BIT(r);
    granted_at[r] = now;
    now++;
    printf("claim: request %d is granted lease %d at %d\n", r, r, granted_at[r])
  :: else               /* the same again, as far as it lives */
  fi
}

#ifdef AS_OF_IS_NOT_LOOKED_AT
#define GRANTED_BEFORE(r, b) (true)
#else
#define GRANTED_BEFORE(r, b) (granted_at[r] < since[b])
#endif
#ifdef CLAIMING_IS_NOT_LOOKED_AT
#define IS_AWAITED(r, b) (false)
#else
#define IS_AWAITED(r, b) (claiming[b] & BIT(r))
#endif
#define IS_NAMED(r, b) ((named[b] & BIT(r)) || (started & BIT(r)))

inline free_orphan(r, b)
{
  if
  :: (alive & BIT(r)) && since[b] != 0 && !IS_NAMED(r, b) && !IS_AWAITED(r, b) &&
     GRANTED_BEFORE(r, b) ->
    printf("heartbeat %d: frees lease %d\n", b, r);
    what_is_wanted_is_never_freed = !(wanted & BIT(r));
    assert(what_is_wanted_is_never_freed);
    alive = alive & ~BIT(r)
  :: else
  fi;
  an_orphan_is_freed_by_the_second_heartbeat =
    !(alive & given_up_then[b] & BIT(r)) || granted_at[r] >= since[b];
  assert(an_orphan_is_freed_by_the_second_heartbeat)
}

inline serve(b)
{
  started = started | (named[b] & alive);
  free_orphan(0, b);
  free_orphan(1, b);
  answered_at[b * SERVINGS + servings[b]] = now;
  servings[b]++;
  printf("heartbeat %d: is answered at %d\n", b, now);
  now++;
  if
  :: servings[b] == SERVINGS -> named[b] = 0; claiming[b] = 0; since[b] = 0; given_up_then[b] = 0
  :: else
  fi
}

proctype Server()
{
end:
  do
  :: d_step { (sent & BIT(0)) && !(granted & BIT(0)) -> claim(0) }
  :: d_step { (sent & BIT(1)) && !(granted & BIT(1)) -> claim(1) }
  :: d_step { beats > 0 && servings[0] < SERVINGS -> serve(0) }
  :: d_step { beats > 1 && servings[1] < SERVINGS -> serve(1) }
#if BEATS > 2
  :: d_step { beats > 2 && servings[2] < SERVINGS -> serve(2) }
#endif
  od
}

/* What claims, executes and reports. */

proctype Poller(byte r)
{
  wanted = wanted | BIT(r);
#ifdef SENT_BEFORE_IT_IS_NAMED
  d_step { sent = sent | BIT(r); printf("executor: sends request %d\n", r) };
  waits_for = waits_for | BIT(r);
#else
  waits_for = waits_for | BIT(r);
  d_step { sent = sent | BIT(r); printf("executor: sends request %d\n", r) };
#endif
  if
  :: d_step { (granted & BIT(r)) ->
#ifndef FORGOTTEN_BEFORE_IT_IS_KNOWN
       knows = knows | BIT(r);
#endif
       waits_for = waits_for & ~BIT(r);
       printf("executor: is told that it has lease %d\n", r) }
#ifdef FORGOTTEN_BEFORE_IT_IS_KNOWN
     ; knows = knows | BIT(r)
#endif
     ;
     /* A lease stays named until its report has been answered. */
     d_step { alive = alive & ~BIT(r); printf("report: ends lease %d\n", r) };
     knows = knows & ~BIT(r)
  :: d_step {
       waits_for = waits_for & ~BIT(r);
       given_up = given_up | BIT(r);
       wanted = wanted & ~BIT(r);
       printf("executor: gives request %d up\n", r) }
  fi
}

/* The heartbeat: reads `asOf` first, and the names after it. */

#define READ_AS_OF d_step { read = as_of }
#ifdef GIVEN_UP_IS_STILL_NAMED
#define AWAITED (waits_for | given_up)
#else
#define AWAITED waits_for
#endif
#define COMPOSE d_step { \
    named[beats] = knows; \
    claiming[beats] = AWAITED; \
    given_up_then[beats] = given_up; \
    printf("heartbeat %d: names leases %d, claims %d\n", beats, knows, AWAITED) }

proctype Heart()
{
  byte read;
end:
  do
  :: beats < BEATS ->
#ifdef AS_OF_IS_READ_LAST
     COMPOSE;
     READ_AS_OF;
#else
     READ_AS_OF;
     COMPOSE;
#endif
     d_step { since[beats] = read; read = 0; beats++ }
  od
}

#define TAKE(answer) \
  :: d_step { answered_at[answer] != 0 -> as_of = answered_at[answer]; answered_at[answer] = 0 }

proctype Answers()
{
end:
  do
  TAKE(0)
  TAKE(1)
  TAKE(2)
  TAKE(3)
#if BEATS > 2
  TAKE(4)
  TAKE(5)
#endif
  od
}

init {
  atomic {
    run Server();
    run Poller(0);
    run Poller(1);
    run Heart();
    run Answers()
  }
}
