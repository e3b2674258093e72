/*
 * Claim, report, expiry and replay of one run.
 *
 * Two executors, three leases, one row, and a network that loses, repeats and delays: a request
 * is served never, once or many times, at any later moment, and so is its answer received.
 * So whatever an executor may send counts as sent from the first moment at which it may be:
 * that the network keeps it back is every other moment, and needs no variable. An executor
 * may go on for as long as it likes without knowing that its lease is gone, and die at any
 * moment, while what it has sent is on its way. Any lease may expire at any moment.
 *
 * Served is in one step what one statement or one transaction does in the service; what
 * takes two transactions there takes two steps here. Each `assert` names a promise of
 * docs/model.md, which also says what stands for what.
 *
 * Built with -DMUTATING the run has one step with side effects, which is written ahead;
 * else STEPS steps, which one holder may execute one after another. With -DENDS a request
 * comes as long as it has an effect, and a run has to end. Each other name of `cases.py`
 * builds a mutant: one guard is taken away, and a promise must break.
 */

#define LEASES    3
#define REQUESTS  4     /* 0 and 1 are of executor 0, 2 and 3 of executor 1 */
#ifdef MUTATING
#define STEPS     1
#else
#ifndef STEPS
#define STEPS     2
#endif
#endif

#define BIT(n)          (1 << (n))
#define OF(request)     ((request) / 2)
/* Where a step's outcome under a lease stands; leases count from 1, steps from 0. */
#define AT(l, s)        (((l) - 1) * STEPS + (s))

#define SUCCESS   0
#define ERROR     1
mtype = { success, error };
#define OUTCOME(o) ((o) == SUCCESS -> success : error)

/* States of the run, and what a report is answered with. */
#define PENDING   1
#define LEASED    2
#define WAITING   3     /* outcome unknown: only an operator moves it */
#define FINISHED  4
#define FAILED    5
#define ABORTED   6
#define CONTINUE  7     /* the next step, under the same lease */
#define LOST      8     /* lease-lost */
#define CONFLICT  9     /* outcome-conflict */
#define OVER      (state >= FINISHED)

/* The row of "workflowRuns". */
byte state = PENDING;
byte lease;             /* 0: none */
byte fence;
byte step;
bit overdue;            /* leaseExpiresAt has passed */
bit abort_requested;
bit begun;              /* mutatingSince is set */

/* Of each lease: a column of the row while it lives, and in the ledger for ever. */
byte granted;           /* leases so far */
byte asked_by[LEASES + 1];
byte first_step[LEASES + 1];
#define HOLDER(l) OF(asked_by[l])

/* "claimRequests": the lease that a request got. */
byte kept[REQUESTS];

/* "runEvents": the outcome of a step under a lease, and what became of the run. */
byte outcome[LEASES * STEPS];   /* 0: none, else the outcome + 1 */
byte became[LEASES * STEPS];

/* The network: what executors have been told, and may have sent ever since. */
byte told;              /* that they have this lease */
byte told_next;         /* that they have the second step under it */
byte told_begun;        /* that a mutating step begins under it */

/* The executors: the request that each asks with, and the lease and step that it has. */
byte own[2], held[2], at[2];
#define ASKS_WITH(e, req) (own[e] >= (req) && OF(req) == (e))

/* What is true, whatever the service believes. */
byte alive;             /* leases that have not ended */
byte got[REQUESTS];     /* the lease that a request was granted */
byte result[STEPS];     /* the lease whose success is the step's result */
byte ended_as;
byte highest_fence;

#ifdef MUTATING
byte again;             /* times that somebody had the step executed again: its number */
byte number[LEASES + 1];
byte begun_numbers;
byte worked;            /* leases under which an executor has begun */
#define MAY_TELL(l, s) (worked & BIT(l))
#else
#define MAY_TELL(l, s) ((s) == first_step[l] || ((s) == 1 && (told_next & BIT(l))))
#endif

#ifdef LOOKED_UP_BEFORE_THE_CLAIM
byte not_seen;          /* requests of which a copy was found to be the first */
#endif
#ifdef ANSWERED_BEFORE_COMMIT
byte answered;          /* leases under which a success was said to be stored */
#endif

#define LIVES(l) ((l) != 0 && (alive & BIT(l)))

/* The promises: between two steps each is 1. */
bit at_most_one_live_lease = 1;
bit one_request_gets_one_lease = 1;
bit only_live_leases_are_handed_out = 1;
bit a_repeat_gets_what_the_first_got = 1;
bit a_stale_lease_changes_nothing = 1;
bit one_result_of_a_step = 1;
bit an_outcome_stays = 1;
bit what_was_acknowledged_is_stored = 1;
bit an_end_is_for_ever = 1;
bit a_run_is_never_lost = 1;
bit the_fence_grows = 1;
bit only_what_has_expired_is_taken = 1;
bit an_abort_is_obeyed = 1;
bit a_begun_step_is_not_begun_again = 1;

/* With -DREACH=… the model shows that it gets that far. */
#define A_REPLAYED_CLAIM 1
#define A_REPLAYED_REPORT 2
#define A_STALE_REPORT 3
#define AN_OTHER_OUTCOME 4
#define A_FINISH_UNDER_THE_LAST_LEASE 5
#ifdef REACH
bit not_there_yet = 1;
#define REACHED(condition, what) not_there_yet = !((what) == REACH && (condition)); assert(not_there_yet)
#else
#define REACHED(condition, what) skip
#endif

/* After whatever has changed the run. */
inline look()
{
  an_end_is_for_ever = (ended_as == 0 || state == ended_as);
  assert(an_end_is_for_ever);
  if
  :: OVER -> ended_as = state
  :: else
  fi;
  a_run_is_never_lost = (lease == 0) == (state != LEASED) &&
    (lease == 0 || LIVES(lease)) && (lease != 0 || alive == 0);
  assert(a_run_is_never_lost);
  an_abort_is_obeyed = !(abort_requested && state == PENDING);
  assert(an_abort_is_obeyed)
}

inline end_lease()
{
  alive = alive & ~BIT(lease);
  lease = 0;
  overdue = 0;
  begun = 0
}

/* The verdict on a lease that ends without a report; the budget is the three leases. */
inline end_unreported()
{
  if
#ifndef VERDICT_FORGETS_THE_MARK
  :: begun -> state = WAITING
#endif
  :: else ->
    if
    :: abort_requested -> state = ABORTED
    :: !abort_requested && granted == LEASES -> state = FAILED
#ifdef EXPIRED_RUN_STAYS_OUT
    :: else -> state = WAITING
#else
    :: else -> state = PENDING
#endif
    fi
  fi;
  end_lease();
  look()
}

/* Claims. */

inline answer_lease(req, l)
{
  only_live_leases_are_handed_out = LIVES(l);
  assert(only_live_leases_are_handed_out);
  a_repeat_gets_what_the_first_got = (got[req] == l);
  assert(a_repeat_gets_what_the_first_got)
}

inline answer_empty(req)
{
  a_repeat_gets_what_the_first_got = !LIVES(got[req]);
  assert(a_repeat_gets_what_the_first_got)
}

inline grant(req)
{
#ifdef FENCE_OF_THE_FIRST_LEASE
  fence = 1;
#else
  fence++;
#endif
  granted++;
  printf("claim: request %d of executor %d is granted lease %d, fence %d\n",
         req, OF(req), granted, fence);
  one_request_gets_one_lease = (got[req] == 0);
  assert(one_request_gets_one_lease);
  the_fence_grows = (fence > highest_fence);
  assert(the_fence_grows);
  highest_fence = fence;
  asked_by[granted] = req;
  first_step[granted] = step;
#ifdef MUTATING
  number[granted] = again;
#endif
  got[req] = granted;
  lease = granted;
  overdue = 0;
  state = LEASED;
  alive = alive | BIT(granted);
  at_most_one_live_lease = (alive == BIT(granted));
  assert(at_most_one_live_lease);
  answer_lease(req, granted)
}

#ifdef STARTED_IS_CLAIMABLE
#define CLAIMABLE (!OVER && state != WAITING && granted < LEASES)
#else
#define CLAIMABLE (state == PENDING)
#endif

inline claim(req)
{
  if
#ifdef ENDED_LEASE_IS_REPLAYED
  :: kept[req] != 0 ->
    printf("claim: request %d of executor %d gets lease %d again\n", req, OF(req), kept[req]);
    answer_lease(req, kept[req])
#else
  :: kept[req] != 0 && lease == kept[req] ->
    printf("claim: request %d of executor %d gets lease %d again\n", req, OF(req), lease);
    overdue = 0;
    answer_lease(req, lease);
    REACHED(true, A_REPLAYED_CLAIM)
  :: kept[req] != 0 && lease != kept[req] -> answer_empty(req)
#endif
#ifdef LOOKED_UP_BEFORE_THE_CLAIM
  :: kept[req] == 0 ->
    not_seen = not_seen | BIT(req);
    printf("claim: request %d of executor %d was not seen before\n", req, OF(req))
#else
  :: kept[req] == 0 && CLAIMABLE ->
    grant(req);
#if !defined(KEPT_IN_ANOTHER_TRANSACTION) && !defined(CLAIM_IS_NOT_KEPT)
    kept[req] = granted;
#endif
    look()
  :: else ->
    printf("claim: request %d of executor %d gets nothing\n", req, OF(req));
    answer_empty(req)
#endif
  fi
}

/* What a holder says. */

#ifdef LEASE_ID_OF_THE_EXECUTOR
#define HOLDS(l) (lease != 0 && HOLDER(lease) == HOLDER(l))
#else
#define HOLDS(l) (lease == (l))
#endif

#if defined(REPORT_BY_RUN)
#define MAY_STORE(l, s, o) (!OVER)
#elif defined(REPORT_BY_STATE)
#define MAY_STORE(l, s, o) (state == LEASED)
#elif defined(REPORT_BY_EXECUTOR)
#define MAY_STORE(l, s, o) (lease != 0 && HOLDER(lease) == HOLDER(l) && step == (s))
#elif defined(REPORT_BY_LEASE_ALONE)
#define MAY_STORE(l, s, o) (lease == (l))
#elif defined(ERROR_BY_LEASE_ALONE)
#define MAY_STORE(l, s, o) (lease == (l) && (step == (s) || (o) == ERROR))
#else
#define MAY_STORE(l, s, o) (HOLDS(l) && step == (s))
#endif

#ifdef ABORT_IS_IGNORED
#define ABORTING false
#else
#define ABORTING abort_requested
#endif

inline answer_report(l, s, o, answer)
{
  /* An outcome that was refused once is refused for ever: its lease is gone, or told another. */
  a_repeat_gets_what_the_first_got = (outcome[AT(l, s)] == (o) + 1 -> (answer) == became[AT(l, s)]
    : (answer) >= LOST);
  assert(a_repeat_gets_what_the_first_got)
}

inline store(l, s, o, chain)
{
  printf("report: %e of step %d under lease %d is stored\n", OUTCOME(o), s, l);
  a_stale_lease_changes_nothing = (lease == l && LIVES(l));
  assert(a_stale_lease_changes_nothing);
  if
  :: o == SUCCESS ->
    one_result_of_a_step = (result[s] == 0);
    assert(one_result_of_a_step);
    result[s] = l
  :: else
  fi;
  an_outcome_stays = (outcome[AT(l, s)] == 0);
  assert(an_outcome_stays);
  outcome[AT(l, s)] = o + 1;
  if
  :: o == SUCCESS && s == STEPS - 1 ->
    state = FINISHED;
    REACHED(l == LEASES, A_FINISH_UNDER_THE_LAST_LEASE)
  :: (o != SUCCESS || s < STEPS - 1) && ABORTING -> state = ABORTED
  :: o == SUCCESS && s < STEPS - 1 && !ABORTING -> state = (chain -> CONTINUE : PENDING)
  :: o == ERROR && !ABORTING -> state = (granted == LEASES || begun -> FAILED : PENDING)
  fi;
  became[AT(l, s)] = state;
  if
#ifndef STEP_STAYS
  :: o == SUCCESS && s < STEPS - 1 -> step++
#endif
  :: else
  fi;
  if
  :: state == CONTINUE ->
    state = LEASED;
    overdue = 0;
    begun = 0
  :: else -> end_lease()
  fi;
  look();
  answer_report(l, s, o, became[AT(l, s)])
}

inline report(l, s, o, chain)
{
  if
#ifdef ANSWERED_BEFORE_COMMIT
  :: MAY_STORE(l, s, o) && o == SUCCESS && s == STEPS - 1 && !(answered & BIT(l)) ->
    answered = answered | BIT(l);
    printf("report: success of step %d under lease %d is answered\n", s, l)
  :: else ->
  if
#endif
  :: MAY_STORE(l, s, o) -> store(l, s, o, chain)
  :: else ->
    if
#ifndef REPORT_IS_NOT_REPLAYED
    :: outcome[AT(l, s)] == o + 1 ->
      REACHED(lease != l && !OVER, A_REPLAYED_REPORT);
      answer_report(l, s, o, became[AT(l, s)])
    :: outcome[AT(l, s)] != 0 && outcome[AT(l, s)] != o + 1 ->
      REACHED(true, AN_OTHER_OUTCOME);
      answer_report(l, s, o, CONFLICT)
#endif
    :: else ->
      REACHED(lease != 0 && lease != l && HOLDER(lease) == HOLDER(l), A_STALE_REPORT);
      printf("report: %e of step %d under lease %d is refused\n", OUTCOME(o), s, l);
      answer_report(l, s, o, LOST)
    fi
  fi
#ifdef ANSWERED_BEFORE_COMMIT
  fi
#endif
}

inline renew(l)
{
  if
#ifdef RENEWED_BY_RUN
  :: lease != 0 ->
#else
  :: HOLDS(l) ->
#endif
    printf("renew: lease %d\n", l);
    a_stale_lease_changes_nothing = LIVES(l);
    assert(a_stale_lease_changes_nothing);
    overdue = 0
  :: else
  fi
}

inline release(l)
{
  if
#ifdef RELEASED_BY_RUN
  :: lease != 0 ->
#else
  :: HOLDS(l) ->
#endif
    printf("release: lease %d\n", l);
    a_stale_lease_changes_nothing = LIVES(l);
    assert(a_stale_lease_changes_nothing);
    end_unreported()
  :: else
  fi
}

#ifdef MUTATING
inline start(l)
{
  if
#ifdef STARTED_BY_RUN
  :: lease != 0 ->
#else
  :: HOLDS(l) ->
#endif
#ifndef MARKED_IN_ANOTHER_TRANSACTION
    begun = 1;
#endif
    told_begun = told_begun | BIT(l);
    printf("start: the step may begin under lease %d\n", l)
  :: else
  fi
}
#endif

/*
 * One orchestrator, or any number. The executors are alike: that the first lease goes to
 * the first of them leaves nothing out.
 */

#ifdef ENDS
#define CAN_BE_CLAIMED(req) (kept[req] == 0 && CLAIMABLE)
#define CAN_BE_TOLD(l) (lease == (l))
#else
#define CAN_BE_CLAIMED(req) true
#define CAN_BE_TOLD(l) true
#endif

#define CLAIM(req) \
  :: d_step { ASKS_WITH(e, req) && (granted != 0 || e == 0) && CAN_BE_CLAIMED(req) -> claim(req) }
#define HEARD(l) ((told & BIT(l)) && HOLDER(l) == e)
#define TOLD(l, s, o) \
  :: d_step { HEARD(l) && MAY_TELL(l, s) && CAN_BE_TOLD(l) -> report(l, s, o, true) }
#if STEPS == 2
/* A holder goes on with the next step, or the next step waits for a claim. */
#define REPORTS(l) TOLD(l, 0, SUCCESS) TOLD(l, 1, SUCCESS) TOLD(l, 0, ERROR) TOLD(l, 1, ERROR) \
  :: d_step { HEARD(l) && MAY_TELL(l, 0) && CAN_BE_TOLD(l) && granted < LEASES -> \
       report(l, 0, SUCCESS, false) }
#else
#define REPORTS(l) TOLD(l, 0, SUCCESS) TOLD(l, 0, ERROR)
#endif
#define HELD(l) \
  :: d_step { HEARD(l) -> renew(l) } \
  :: d_step { HEARD(l) -> release(l) }
#define STARTS(l) \
  :: d_step { HEARD(l) -> start(l) }

proctype Server(byte e)
{
end:
  do
  CLAIM(2 * e)
  CLAIM(2 * e + 1)
  REPORTS(1)
  REPORTS(2)
  REPORTS(3)
#ifndef ENDS
  HELD(1)
  HELD(2)
  HELD(3)
#endif
#ifdef MUTATING
  STARTS(1)
  STARTS(2)
  STARTS(3)
#endif
#ifdef KEPT_IN_ANOTHER_TRANSACTION
  :: d_step { got[2 * e] != 0 && kept[2 * e] == 0 -> kept[2 * e] = got[2 * e] }
  :: d_step { got[2 * e + 1] != 0 && kept[2 * e + 1] == 0 -> kept[2 * e + 1] = got[2 * e + 1] }
#endif
#ifdef LOOKED_UP_BEFORE_THE_CLAIM
  :: d_step { (not_seen & BIT(2 * e)) && CLAIMABLE ->
       grant(2 * e); kept[2 * e] = granted; look() }
#endif
#ifdef MARKED_IN_ANOTHER_TRANSACTION
  :: d_step { lease != 0 && (told_begun & BIT(lease)) && HOLDER(lease) == e -> begun = 1 }
#endif
  od
}

/* Time, and the keeper. */

proctype Clock()
{
end:
  do
  :: d_step { lease != 0 && !overdue -> overdue = 1; printf("time: lease %d expires\n", lease) }
  od
}

proctype Keeper()
{
end:
  do
#if defined(EXPIRED_BY_RUN)
  /* It selects, and then updates by id. */
  :: d_step { overdue -> printf("keeper: sees that lease %d has expired\n", lease) };
     d_step {
       printf("keeper: takes lease %d back\n", lease);
       only_what_has_expired_is_taken = overdue;
       assert(only_what_has_expired_is_taken);
       end_unreported() }
#elif defined(NOTHING_EXPIRES)
  :: false
#elif defined(LEASE_GOES_BEFORE_THE_STATE)
  :: d_step { overdue -> printf("keeper: takes lease %d back\n", lease); end_lease(); look() };
     d_step { state = (abort_requested -> ABORTED : PENDING); look() }
#else
  :: d_step { overdue ->
       printf("keeper: takes lease %d back\n", lease);
       only_what_has_expired_is_taken = overdue && lease != 0;
       assert(only_what_has_expired_is_taken);
       end_unreported() }
#endif
  od
}

/* A client who aborts the run once, and an operator who has a step executed again. */

proctype People()
{
end:
  do
#ifdef ABORT_WITHOUT_A_LOOK
  :: d_step { !abort_requested ->
#else
  :: d_step { !OVER && state != WAITING && !abort_requested ->
#endif
       abort_requested = 1;
       printf("abort: in state %d\n", state);
       if
       :: lease == 0 -> state = ABORTED
       :: else
       fi;
       look() }
#ifdef MUTATING
  :: d_step { state == WAITING && granted < LEASES && !abort_requested ->
       state = PENDING;
       again++;
       printf("resolve: run again, under the next number\n") }
#endif
  od
}

/*
 * An executor asks with one request id until it is told of a lease, executes the steps that it
 * is given, and tells what came of them, if need be twice and differently. It may forget
 * everything at any moment, as one does that is killed.
 */

#ifdef ENDS
#define CAN_FORGET(e) (got[own[e]] != 0)
#else
#define CAN_FORGET(e) true
#endif

inline forget(e)
{
  held[e] = 0;
  at[e] = 0;
  own[e]++
}

inline hear(e, o)
{
  printf("executor %d: is told that its report of step %d is stored\n", e, at[e]);
  what_was_acknowledged_is_stored = (outcome[AT(held[e], at[e])] == (o) + 1);
  assert(what_was_acknowledged_is_stored);
  if
  :: became[AT(held[e], at[e])] == CONTINUE ->
    at[e] = 1;
    told_next = told_next | BIT(held[e])
  :: else -> forget(e)
  fi
}

proctype Executor(byte e)
{
end:
  do
  :: d_step { own[e] < 2 * e + 2 && held[e] == 0 && got[own[e]] != 0 ->
       held[e] = got[own[e]];
       at[e] = first_step[held[e]];
       told = told | BIT(held[e]);
       printf("executor %d: is told that it has lease %d\n", e, held[e]) }
  :: d_step { held[e] != 0 && outcome[AT(held[e], at[e])] == SUCCESS + 1 -> hear(e, SUCCESS) }
  :: d_step { held[e] != 0 && outcome[AT(held[e], at[e])] == ERROR + 1 -> hear(e, ERROR) }
#ifdef ANSWERED_BEFORE_COMMIT
  :: d_step { held[e] != 0 && (answered & BIT(held[e])) -> hear(e, SUCCESS) }
#endif
#ifdef MUTATING
  :: d_step { held[e] != 0 && (told_begun & BIT(held[e])) && !(worked & BIT(held[e])) ->
       worked = worked | BIT(held[e]);
       printf("executor %d: begins the step under lease %d\n", e, held[e]);
       a_begun_step_is_not_begun_again = !(begun_numbers & BIT(number[held[e]]));
       assert(a_begun_step_is_not_begun_again);
       begun_numbers = begun_numbers | BIT(number[held[e]]) }
#endif
  :: d_step { own[e] < 2 * e + 2 && CAN_FORGET(e) ->
       printf("executor %d: dies with lease %d\n", e, held[e]);
       forget(e) }
  od
}

#ifdef ENDS
ltl every_run_ends { <> OVER }
#endif

init {
  atomic {
    own[1] = 2;
    run Executor(0);
    run Executor(1);
    run Server(0);
    run Server(1);
    run Clock();
    run Keeper();
    run People()
  }
}
