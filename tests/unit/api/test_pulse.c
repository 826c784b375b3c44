/* Signs of life of the HTTP thread. */
#include "unit.h"

#include "client.h"

#include <sys/socket.h>

#include <runnel/context.h>

#include "api/core.h"

static unsigned table_count(struct rig *rig)
{
    struct connections *connections = &rig->server->connections;

    rn_mutex_lock(&connections->mu);
    unsigned count = connections->count;
    rn_mutex_unlock(&connections->mu);
    return count;
}

/* Beats until so many have been answered; nobody announces an answer. */
static uint64_t beat_until(struct rig *rig, uint64_t count)
{
    rn_time until = rn_after(60 * RN_SECOND);
    uint64_t beats = server_beat(rig->server);

    while (beats < count && rn_now() < until) {
        assert_int_equal(rn_sleep(NULL, RN_MILLISECOND), 0);
        beats = server_beat(rig->server);
    }
    return beats;
}

static void each_question_is_answered(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(server_beat(rig->server), 0);
    assert_true(beat_until(rig, 2000) >= 2000); // also beyond what a client's connection may ask
    assert_int_equal(table_count(rig), 0);
    assert_int_equal(atomic_load(&rig->server->request_count), 0);
}

static void a_connection_that_was_lost_is_made_again(void **state)
{
    struct rig *rig = *state;

    assert_true(beat_until(rig, 3) >= 3);
    (void)shutdown(rig->server->listeners[0].pulse.ours, SHUT_RDWR);
    assert_true(beat_until(rig, 6) >= 6);
}

static void where_tls_is_wanted_each_sign_is_a_connection_of_its_own(void **state)
{
    struct rig *rig = *state;

    rig->server->listeners[0].pulse.is_tls = true;
    assert_true(beat_until(rig, 20) >= 20);
    assert_int_equal(table_count(rig), 0);
}

static void clients_are_served_beside_it(void **state)
{
    struct rig *rig = *state;

    assert_true(beat_until(rig, 1) >= 1);
    struct reply reply = request(rig, "GET", "/healthz", NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    assert_true(beat_until(rig, 5) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_question_is_answered, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_connection_that_was_lost_is_made_again, rig_setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(where_tls_is_wanted_each_sign_is_a_connection_of_its_own,
                                        rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(clients_are_served_beside_it, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
