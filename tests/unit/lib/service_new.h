/** \file What tests of services share, whatever their tasks are. */
#ifndef TESTS_SERVICE_NEW_H
#define TESTS_SERVICE_NEW_H

#include <runnel/service.h>

/** Each allocation of rn_service_new fails once, and then there is no service. There are at least
 * so many. */
void assert_new_is_all_or_nothing(const struct rn_service_options *options, int least);

#endif
