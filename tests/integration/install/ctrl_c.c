/* A C11 program outside the tree: a typed channel, a group, and a context that ends at Ctrl-C. */
#include <signal.h>
#include <stdio.h>

#include <runnel/runnel.h>

RN_CHAN_DEFINE(numbers, int);

static int count(rn_context *ctx, void *chan)
{
    for (int i = 1; numbers_send(ctx, chan, i) == 0; i++)
        ;
    return 0;
}

int main(void)
{
    rn_context *ctx;
    rn_group *group;
    numbers *chan;

    if (rn_context_with_signals(NULL, &(int){SIGINT}, 1, &ctx) != 0 || numbers_new(0, &chan) != 0 ||
        rn_group_new(ctx, &group) != 0 || rn_group_go(group, "count", count, chan) != 0)
        return 1;
    for (int number; numbers_recv(ctx, chan, &number) == 0;)
        printf("%d\n", number);
    rn_group_wait(group);
    rn_group_free(group);
    numbers_free(chan);
    rn_context_unref(ctx);
}
