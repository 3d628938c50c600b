/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy interface of ioflush: what a flush policy is told, and what it answers. The ten built-in policies use it;
 * so can a shared object (ioflush replay --plugin ./my_policy.so).
 *
 * A policy is data and a few small functions. The model calls them with *spans*: runs of pages that agree in every
 * field of struct ioflush_span, so a mapping of 1 TiB costs one call. A function answers "flush this span" or not. The
 * model counts, keeps the clean bits and does the audit; a policy cannot touch these.
 *
 * State: each policy has one bit, self->bit, in three words: marks of every iopt_pages, marks of every area (both start
 * as false; a cut copies the area's), and req of the area, which is cleared when the fill ends. It may change no other
 * bit. If it needs more state, it keeps it in self->data.
 *
 * Units: pages are 4 KiB; iova in bytes, last is inclusive; pfn is a physical page frame number. Pointers given to a
 * policy are valid only during the call. It must not free them, nor change anything but its own bit.
 */
#ifndef IOFLUSH_POLICY_H
#define IOFLUSH_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Raised whenever a struct here changes. ioflush loads a plugin of exactly its own version. */
#define IOFLUSH_POLICY_ABI 2

#define IOFLUSH_PFN_UNKNOWN UINT64_MAX

struct ioflush_iopt {
	uint64_t id;
	uint32_t domains;	  /* that have joined */
	uint32_t noncoherent;	  /* cnt of semantics: non-coherent domains, joining ones included */
	uint32_t failed_coherent; /* coherent domains that failed to join */
};

struct ioflush_domain {
	uint64_t id;
	bool noncoherent; /* unknown coherency counts as non-coherent */
};

struct ioflush_pages {
	uint64_t id;
	uint64_t marks; /* one bit a policy */
};

struct ioflush_area {
	uint64_t id; /* 0: half of a cut area whose pointer was not seen yet */
	uint64_t iova, last;
	uint64_t marks; /* one bit a policy */
	uint64_t req;	/* one bit a policy, cleared when the fill ends */
};

/* Where the kernel gets the page numbers of a fill from (pages.c: user memory, an access, a storage domain). */
enum ioflush_source {
	IOFLUSH_SOURCE_UNKNOWN, /* not computed: no policy needs it */
	IOFLUSH_SOURCE_USER,
	IOFLUSH_SOURCE_ACCESS,
	IOFLUSH_SOURCE_COHERENT,
	IOFLUSH_SOURCE_NONCOHERENT,
};

/* How an area chooses its storage domain; the index into ioflush_span.source. */
enum ioflush_storage {
	IOFLUSH_STORAGE_FIRST,		    /* as the kernel does: the first domain of the iopt's array */
	IOFLUSH_STORAGE_PREFER_NONCOHERENT, /* the first non-coherent domain, else the first */
	IOFLUSH_STORAGE_RULES
};

/* A fill begins: a new area is mapped into all domains of its iopt (domain NULL), or an area into a joining domain. */
struct ioflush_fill {
	const struct ioflush_iopt *iopt;
	const struct ioflush_domain *domain;
	struct ioflush_area *area;
	struct ioflush_pages *pages;
};

/* A span of pages at one of the hooks. */
struct ioflush_span {
	const struct ioflush_iopt *iopt;
	const struct ioflush_domain *domain; /* joining (map) or left (unmap); NULL: a fill of all, unpin, access */
	const struct ioflush_area *area;     /* through which it happens */
	struct ioflush_pages *pages;
	uint64_t index;	 /* of the first page in pages */
	uint64_t npages; /* 1 or more */
	uint64_t pfn;	 /* of the first page, or IOFLUSH_PFN_UNKNOWN: then the next four fields are 0 */
	uint64_t clean;	 /* one bit a policy: flushed, and not reached by a non-coherent device since */
	uint32_t pin;	 /* how often the frames are pinned */
	uint32_t nc;	 /* mappings of the frames in non-coherent domains */
	bool ever;	 /* nc has been above 0 since pin last rose from 0 */
	bool held;	 /* an in-kernel access holds these indexes */
	bool by_access;	 /* unpin: the release of an access unpins them, not an unmap */
	enum ioflush_source source[IOFLUSH_STORAGE_RULES]; /* map only */
};

struct ioflush_param {
	const char *name;
	const char *doc;
	const char *value; /* the default */
};

/* The events that a policy needs: if a trace lacks them, the result of the policy says nothing. */
enum ioflush_needs {
	IOFLUSH_NEEDS_FILL = 1 << 0,	 /* area_fill, area_fill_end, area_add_domain, area_add_domain_end */
	IOFLUSH_NEEDS_ACCESS = 1 << 1,	 /* access_add, access_remove */
	IOFLUSH_NEEDS_SOURCE = 1 << 2,	 /* the above, cut and domain_remove: where the pages of a fill come from */
	IOFLUSH_NEEDS_COHERENT = 1 << 3, /* the coherent field of domain_add */
};

struct ioflush_policy;

struct ioflush_policy_ops {
	const char *name;		    /* lower case, digits, '-' */
	const char *summary;		    /* one line */
	const char *origin;		    /* where it was proposed */
	const struct ioflush_param *params; /* ends with a NULL name; NULL: none */
	unsigned needs;			    /* enum ioflush_needs */
	bool clear_area_when_idle;	    /* clear the area marks of an iopt that loses its last domain */

	/* values: one text for each of params, in order. 0, or -1 and a sentence in err. init and fini may be NULL. */
	int (*init)(struct ioflush_policy *self, const char *const *values, char *err, size_t err_len);
	void (*fini)(struct ioflush_policy *self);

	/* Each may be NULL: it then does nothing and does not flush. Names in brackets are those of semantics.md. */
	void (*fill)(struct ioflush_policy *self, const struct ioflush_fill *f);       /* [B1, B2] */
	void (*map_failed)(struct ioflush_policy *self, const struct ioflush_fill *f); /* [B3] a map of the fill failed */
	bool (*map)(struct ioflush_policy *self, const struct ioflush_span *s);	       /* [H1, H2] */
	bool (*unmap)(struct ioflush_policy *self, const struct ioflush_span *s);      /* [H3] */
	bool (*unpin)(struct ioflush_policy *self, const struct ioflush_span *s);      /* [H4] */
	bool (*access)(struct ioflush_policy *self, const struct ioflush_span *s);     /* [H5] */
};

struct ioflush_policy {
	const struct ioflush_policy_ops *ops;
	uint64_t bit; /* this policy's bit in marks, req and clean */
	void *data;   /* the policy's own */
};

/* What a plugin exports, under the name ioflush_plugin. */
struct ioflush_plugin {
	uint32_t abi; /* IOFLUSH_POLICY_ABI */
	const struct ioflush_policy_ops *policy;
};

/* Sets or clears the policy's bit in a word of marks. */
static inline void ioflush_set(const struct ioflush_policy *self, uint64_t *word, bool on)
{
	*word = on ? *word | self->bit : *word & ~self->bit;
}

/* Whether the policy's bit is set. */
static inline bool ioflush_get(const struct ioflush_policy *self, uint64_t word)
{
	return word & self->bit;
}

/* Whether the domain that is joining, or left, is non-coherent; a fill of all domains asks the iopt's count. */
static inline bool ioflush_noncoherent(const struct ioflush_iopt *iopt, const struct ioflush_domain *domain)
{
	return domain ? domain->noncoherent : iopt->noncoherent > 0;
}

#endif
