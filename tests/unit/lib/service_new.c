/* What tests of services share, whatever their tasks are. */
#include "service_new.h"

#include "fault.h"
#include "unit.h"

void assert_new_is_all_or_nothing(const struct rn_service_options *options, int least)
{
    for (int nth = 1;; nth++) {
        rn_service *service = NULL;
        fault_fail_malloc(nth);
        int r = rn_service_new(NULL, options, &service);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_true(nth > least);
            rn_service_free(service);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(service);
    }
}
