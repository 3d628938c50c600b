/* ioflushd --check: what this host would give, without changing anything that stays. */
#ifndef IOFLUSHD_CHECK_H
#define IOFLUSHD_CHECK_H

#include <stdio.h>

#include "config.h"
#include "error.h"

/* Prints the findings to out. The exit status; unless it is 0, e says why in one sentence. */
int check_host(const struct config *c, FILE *out, struct error *e);

#endif
