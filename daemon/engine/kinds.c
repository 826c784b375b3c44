/* What the engine knows of kinds: which one a name is in the configuration in force, and what
 * became of its attempts. The counts are found by name, stay when the configuration loses the kind,
 * and go on when it is back; they are bounded by ENGINE_KINDS_MAX. */
#include <stdlib.h>
#include <string.h>

#include "engine/core.h"

const struct config *engine_config_ref(struct engine *engine)
{
    rn_mutex_lock(&engine->mu);
    const struct config *config = config_ref(engine->config);
    rn_mutex_unlock(&engine->mu);
    return config;
}

const struct config_kind *engine_find_kind(struct engine *engine, const char *name,
                                           const struct config **ret_config,
                                           struct engine_kind_counts **ret_counts)
{
    struct kind *known = NULL;

    rn_mutex_lock(&engine->mu);
    const struct config *config = config_ref(engine->config);
    HASH_FIND_STR(engine->kinds, name, known);
    rn_mutex_unlock(&engine->mu);
    const struct config_kind *kind = config_kind_find(config, name);
    if (kind == NULL) {
        config_unref(config);
        return NULL;
    }
    RN_ASSERT(known != NULL); // added before the configuration was in force
    *ret_config = config;
    *ret_counts = &known->counts;
    return kind;
}

const struct engine_kind_counts *engine_kind_counts(struct engine *engine, const char *name)
{
    struct kind *kind = NULL;

    rn_mutex_lock(&engine->mu);
    HASH_FIND_STR(engine->kinds, name, kind);
    rn_mutex_unlock(&engine->mu);
    return kind == NULL ? NULL : &kind->counts;
}

void kinds_free(struct kind **kinds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(kinds[i]);
    free(kinds);
}

int kinds_new(struct engine *engine, const struct config *config, struct kind ***ret_kinds,
              size_t *ret_count)
{
    struct kind **kinds = calloc(config->kind_count + 1, sizeof(*kinds));
    size_t count = 0;
    int r = 0;

    if (kinds == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < config->kind_count && r == 0; i++) {
        if (engine_kind_counts(engine, config->kinds[i].name) != NULL)
            continue;
        struct kind *kind = calloc(1, sizeof(*kind));
        if (kind == NULL) {
            r = -ENOMEM;
            break;
        }
        memcpy(kind->name, config->kinds[i].name, sizeof(kind->name));
        metrics_histogram_init(&kind->counts.run, &engine_bounds);
        kinds[count++] = kind;
    }
    rn_mutex_lock(&engine->mu);
    if (r == 0 && HASH_COUNT(engine->kinds) + count > ENGINE_KINDS_MAX)
        r = -EMSGSIZE;
    rn_mutex_unlock(&engine->mu);
    if (r < 0) {
        kinds_free(kinds, count);
        return r;
    }
    *ret_kinds = kinds;
    *ret_count = count;
    return 0;
}

int kinds_add_locked(struct engine *engine, struct kind **kinds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        HASH_ADD_STR(engine->kinds, name, kinds[i]);
        if (kinds[i]->hh.tbl != NULL)
            continue;
        while (i-- > 0)
            HASH_DEL(engine->kinds, kinds[i]);
        return -ENOMEM;
    }
    return 0;
}

void kinds_sum(struct engine *engine, struct engine_stats *stats)
{
    rn_mutex_lock(&engine->mu);
    for (const struct kind *kind = engine->kinds; kind != NULL; kind = kind->hh.next) {
        stats->started += atomic_load(&kind->counts.started);
        stats->succeeded += atomic_load(&kind->counts.ended[ENGINE_SUCCEEDED]);
        stats->failed += atomic_load(&kind->counts.ended[ENGINE_FAILED]);
        stats->cancelled += atomic_load(&kind->counts.ended[ENGINE_CANCELLED]);
        stats->retried += atomic_load(&kind->counts.ended[ENGINE_RETRIED]);
        stats->interrupted += atomic_load(&kind->counts.ended[ENGINE_INTERRUPTED]);
    }
    rn_mutex_unlock(&engine->mu);
}
