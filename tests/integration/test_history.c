/** \file The history checker itself: each sort of fault is put before it, and it must see that one
 * and no other. */
#include <string.h>

#include "harness.h"
#include "history.h"

static const char config[] = "queue: { default: { workers = 2 }; };\n"
                             "kind: { echo: { builtin = 'echo' }; };\n";

struct setting {
    struct daemon *daemon;
    struct history *history;
    const char *ledger;
};

/* Two tasks that were asked for, acknowledged, and have ended; with the run of each in the ledger
 * from 1000 to 2000. */
static struct setting sound(void)
{
    struct setting setting = {.ledger = plain_text("%s/ledger", scenario_folder())};

    setting.daemon = daemon_started(config);
    setting.history = history_new(setting.ledger);
    file_write(setting.ledger,
               "start 0 1 10 1000\nstart 1 1 11 1000\nend 1 1 11 2000\nend 0 1 10 2000\n");
    for (unsigned i = 0; i < 2; i++) {
        size_t key = history_ask(setting.history, true, false);
        uint64_t id = submit(setting.daemon, "{'kind':'echo','args':{'key':'%zu'}}", key);

        await_end(setting.daemon, id);
        history_answer(setting.history, key, HISTORY_ACKNOWLEDGED, id);
    }
    return setting;
}

static void add_to_ledger(const struct setting *setting, const char *lines)
{
    file_write(setting->ledger, plain_text("%s%s", file_read(setting->ledger), lines));
}

static unsigned faults(struct verdict verdict)
{
    return verdict.lost + verdict.unexpected + verdict.duplicated + verdict.overlap +
           verdict.zombie + verdict.unstarted + verdict.again + verdict.unended;
}

static void a_sound_history_has_no_fault(void)
{
    struct setting setting = sound();

    struct verdict verdict = history_check(setting.history, setting.daemon);

    assert_int_equal(faults(verdict), 0);
    assert_int_equal(verdict.acknowledged, 2);
    assert_int_equal(verdict.starts, 2);
    history_expect_sound(setting.history, setting.daemon, 2);
}

static void an_acknowledged_task_that_is_not_there_is_lost(void)
{
    struct setting setting = sound();
    size_t key = history_ask(setting.history, true, false);
    history_answer(setting.history, key, HISTORY_ACKNOWLEDGED, 4711);

    struct verdict verdict = history_check(setting.history, setting.daemon);

    assert_int_equal(verdict.lost, 1);
    assert_int_equal(faults(verdict), 1);
}

static void a_task_without_an_answer_may_be_there_or_not(void)
{
    struct setting setting = sound();
    size_t there = history_ask(setting.history, false, false),
           not_there = history_ask(setting.history, false, false);
    await_end(setting.daemon,
              submit(setting.daemon, "{'kind':'echo','args':{'key':'%zu'}}", there));
    history_answer(setting.history, there, HISTORY_UNKNOWN, 0);
    history_answer(setting.history, not_there, HISTORY_UNKNOWN, 0);

    struct verdict verdict = history_check(setting.history, setting.daemon);

    assert_int_equal(verdict.recovered, 1);
    assert_int_equal(faults(verdict), 0);
}

static void what_nobody_asked_for_and_what_was_refused_is_unexpected(void)
{
    struct setting setting = sound();
    size_t refused = history_ask(setting.history, false, false);
    (void)submit(setting.daemon, "{'kind':'echo','args':{'key':'99'}}");
    (void)submit(setting.daemon, "{'kind':'echo','args':{'key':'%zu'}}", refused);
    history_answer(setting.history, refused, HISTORY_REFUSED, 0);

    struct verdict verdict = history_check(setting.history, setting.daemon);

    assert_int_equal(verdict.unexpected, 2);
    assert_int_equal(faults(verdict), 2);
}

static void two_tasks_of_one_key_are_duplicated(void)
{
    struct setting setting = sound();
    (void)submit(setting.daemon, "{'kind':'echo','args':{'key':'1'}}");

    assert_int_equal(history_check(setting.history, setting.daemon).duplicated, 1);
}

static void two_runs_at_the_same_time_overlap(void)
{
    struct setting by_time = sound();
    add_to_ledger(&by_time, "start 0 1 12 1500\nend 0 1 12 2500\n");
    assert_int_equal(history_check(by_time.history, by_time.daemon).overlap, 1);

    struct setting by_lock = sound();
    add_to_ledger(&by_lock, "overlap 1 1 12 1500\n");
    struct verdict verdict = history_check(by_lock.history, by_lock.daemon);
    assert_int_equal(verdict.overlap, 1);
    assert_int_equal(faults(verdict), 1);
}

static void a_run_after_the_end_was_shown_is_a_zombie(void)
{
    struct setting setting = sound();
    history_shown(setting.history, 0);
    history_killed(setting.history);
    int64_t later = now_ns() + 1000;
    add_to_ledger(&setting, plain_text("start 0 1 12 %lld\nend 0 1 12 %lld\n", (long long)later,
                                       (long long)later + 1));

    struct verdict verdict = history_check(setting.history, setting.daemon);

    assert_int_equal(verdict.zombie, 1);
    assert_int_equal(faults(verdict), 1);
    assert_int_equal(verdict.uncommitted, 1);
}

static void a_second_run_without_a_kill_between_is_again(void)
{
    struct setting setting = sound();
    add_to_ledger(&setting, "start 0 1 12 3000\nend 0 1 12 4000\n");

    struct verdict verdict = history_check(setting.history, setting.daemon);

    assert_int_equal(verdict.again, 1);
    assert_int_equal(faults(verdict), 1);
}

static void a_second_run_of_what_runs_once_is_again(void)
{
    struct setting setting = sound();
    setting.history->tasks[1].runs_once = true;
    history_killed(setting.history);
    int64_t later = now_ns();
    add_to_ledger(&setting, plain_text("start 1 1 12 %lld\nend 1 1 12 %lld\n", (long long)later,
                                       (long long)later + 1));

    assert_int_equal(history_check(setting.history, setting.daemon).again, 1);
}

static void a_success_without_a_whole_run_is_unstarted(void)
{
    struct setting setting = sound();
    file_write(setting.ledger, "start 0 1 10 1000\nend 0 1 10 2000\n");

    struct verdict verdict = history_check(setting.history, setting.daemon);

    assert_int_equal(verdict.unstarted, 1);
    assert_int_equal(faults(verdict), 1);
}

static void runs_that_a_kill_ended_are_counted_by_kill(void)
{
    struct setting setting = sound();
    file_write(setting.ledger,
               "start 0 1 10 1000\nstart 1 1 11 1000\n"); // neither ends, then the daemon is killed
    history_killed(setting.history);
    int64_t later = now_ns();
    add_to_ledger(
        &setting,
        plain_text("start 0 1 12 %lld\nend 0 1 12 %lld\nstart 1 1 13 %lld\nend 1 1 13 %lld\n",
                   (long long)later, (long long)later + 1, (long long)later, (long long)later + 1));

    struct verdict verdict = history_check(setting.history, setting.daemon);
    assert_int_equal(verdict.cut_short, 2);
    assert_int_equal(verdict.cut_short_most, 2);
    assert_int_equal(faults(verdict), 0);

    add_to_ledger(&setting, plain_text("start 1 1 14 %lld\n", (long long)later + 5));
    assert_int_equal(history_check(setting.history, setting.daemon).unended,
                     1); // nothing was killed since
}

HARNESS_MAIN(SCENARIO(a_sound_history_has_no_fault),
             SCENARIO(an_acknowledged_task_that_is_not_there_is_lost),
             SCENARIO(a_task_without_an_answer_may_be_there_or_not),
             SCENARIO(what_nobody_asked_for_and_what_was_refused_is_unexpected),
             SCENARIO(two_tasks_of_one_key_are_duplicated),
             SCENARIO(two_runs_at_the_same_time_overlap),
             SCENARIO(a_run_after_the_end_was_shown_is_a_zombie),
             SCENARIO(a_second_run_without_a_kill_between_is_again),
             SCENARIO(a_second_run_of_what_runs_once_is_again),
             SCENARIO(a_success_without_a_whole_run_is_unstarted),
             SCENARIO(runs_that_a_kill_ended_are_counted_by_kill))
