/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arrays that grow by one element: grow(array, n) makes room behind the n elements and returns the new one, all zero.
 * NULL: out of memory, and the array is unchanged. The caller keeps the count.
 *
 * grow_within(budget, array, n, cap, first) is for long arrays: it makes sure that there is room for one more element
 * behind the n; the room is not cleared. cap, how many fit, doubles, and begins with first. false: no memory, or over the
 * budget (budget_failure() says which), and the array is unchanged.
 */
#ifndef IOFLUSH_BASE_GROW_H
#define IOFLUSH_BASE_GROW_H

#include <stdlib.h>
#include <string.h>

#include "base/budget.h"

static inline void *grow_bytes(void *array, size_t n, size_t size)
{
	char *grown = reallocarray(array, n + 1, size);

	if (grown)
		memset(grown + n * size, 0, size);
	return grown;
}

#define grow(array, n)                                                     \
	({                                                                 \
		void *grown_ = grow_bytes((array), (n), sizeof(*(array))); \
		if (grown_)                                                \
			(array) = grown_;                                  \
		grown_ ? &(array)[n] : NULL;                               \
	})

#define grow_within(budget, array, n, cap, first)                                                                     \
	((n) < (cap) || ({                                                                                            \
		 size_t had_ = (cap), want_ = had_ ? 2 * had_ : (first);                                              \
		 void *grown_ =                                                                                       \
			 budget_resize((budget), (void *)(array), had_ * sizeof(*(array)), want_ * sizeof(*(array))); \
		 if (grown_) {                                                                                        \
			 (array) = grown_;                                                                            \
			 (cap) = want_;                                                                               \
		 }                                                                                                    \
		 grown_ != NULL;                                                                                      \
	 }))

#endif
