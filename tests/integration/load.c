/* A client that submits one task after the other. */
#include "load.h"

#include <stdlib.h>

static void *submit_on(void *arg)
{
    struct load *load = arg;
    struct client *client = client_new(load->port);

    while (!atomic_load(&load->is_over)) {
        struct reply *reply =
            client_call(client, &(struct request){.method = "POST",
                                                  .path = "/v1/tasks",
                                                  .body = "{\"kind\":\"echo\",\"args\":1}"});
        if (reply->status == 201) {
            atomic_store(&load->last_id,
                         (uint64_t)json_integer_value(json_object_get(reply->json, "id")));
            atomic_fetch_add(&load->stored, 1);
        } else {
            atomic_fetch_add(&load->refused, 1);
        }
        reply_free(reply);
    }
    client_free(client);
    return NULL;
}

static void end(void *arg)
{
    load_end(arg);
}

struct load *load_start(struct daemon *daemon)
{
    struct load *load = keep(calloc(1, sizeof(*load)));

    assert_non_null(load);
    load->port = daemon->port;
    assert_int_equal(pthread_create(&load->thread, NULL, submit_on, load), 0);
    load->is_running = true;
    keep_with(end, load);
    return load;
}

void load_end(struct load *load)
{
    if (!load->is_running)
        return;
    load->is_running = false;
    atomic_store(&load->is_over, true);
    (void)pthread_join(load->thread, NULL);
}
