/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the decoder share; see decoder.h.
 *
 *	raw.c		kinds and fields of raw records
 *	decoder.c	raw records to events
 *	threads.c	what is kept per thread and per device
 *	calls.c		calls: ends that get what they lack from their entry
 *	callers.c	who called: names for addresses
 *	records.c	libtraceevent's records to raw ones
 */
#ifndef IOFLUSH_TRACE_DECODER_IMPL_H
#define IOFLUSH_TRACE_DECODER_IMPL_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "trace/decoder/decoder.h"

#define COMM_SLOTS 1024u /* power of two */
#define MAX_CALLS 8	 /* calls of a thread at once; they nest three deep */
#define CALL_FIELDS 6	 /* fields that an entry has for its end: the first ones of both */
#define CALLERS 64	 /* addresses of callers that are kept */
#define NO_TID UINT32_MAX
#define IDLE 0x80000000u /* no tid is so large */

/* Field indexes of an event, from its struct. */
#define FIELD(event, name) (offsetof(struct event_##event, name) / sizeof(uint64_t))
#define BIT(i) (1u << (i))
#define KIND_BIT(kind) (1ull << (kind))

/* --- raw.c */

/* The extra fields of each kind, by index from RAW_EXTRA on. */
enum { X_RC = RAW_EXTRA };			  /* map, access_add */
enum { X_UNMAPPED = RAW_EXTRA, X_UNMAPPED_SIZE }; /* unmap; the second as the tracepoint has it */
enum { X_PAGE = RAW_EXTRA, X_VMEMMAP, X_CALLER }; /* unpin; the last: the address for caller, which is a name */
enum { X_IDEV = RAW_EXTRA };			  /* attach, detach */
enum { X_COHERENT = RAW_EXTRA };		  /* hwpt_alloc */
enum { X_DEVICE = RAW_EXTRA };			  /* attach_device_to_domain */

struct raw_desc {
	const char *name; /* NULL: the event's name */
	const char *extra[RAW_MAX_EXTRA];
	bool string;	/* the first extra is a string */
	uint16_t entry; /* the kind of the entry of the same call, which may have fields that this one lacks */
	uint16_t like;	/* for an entry that is not an event: the event whose fields it has */
};

extern const struct raw_desc raw_table[RAW_KINDS];

uint16_t raw_fields_required(unsigned kind);

/* --- the whole */

/* Whether the ends of a kind of call need their entry. In text this is unknown until the first one. */
enum pairing { PAIR_NO, PAIR_MAYBE, PAIR_YES };

/* A call that was entered. */
struct call {
	uint16_t kind, present; /* of its entry */
	uint64_t v[CALL_FIELDS];
};

/* A thread between two records that belong together. */
struct thread {
	uint32_t id; /* see thread_id() */
	bool has_coherent, coherent;
	bool has_attach;
	uint8_t calls;
	uint64_t covered; /* kinds of ends without entry that the last loss explained */
	struct raw_record attach;
	struct call call[MAX_CALLS]; /* the innermost last */
	struct thread *next_free;
	UT_hash_handle hh;
};

struct comm_slot {
	uint32_t tid, comm;
	bool unnamed;  /* its name found no room */
	bool doubtful; /* its name may be forged */
};

/* How to read the records of one format, NULL: not met yet; and how many came that are not ours. */
struct plan_slot {
	const struct plan *plan;
	uint64_t others;
};

/* What is known of one address. */
struct caller {
	uint64_t address;
	uint64_t misses; /* how often it had no name */
	uint32_t name;	 /* 0: none yet */
};

struct callers {
	bool (*name)(void *ctx, uint64_t address, char out[SYMBOL_MAX]); /* NULL: nobody knows */
	void *ctx;
	bool live; /* what has no name may get one */
	unsigned n;
	struct caller at[CALLERS];
};

/* What records.c knows of formats and names. */
struct formats {
	struct tep_handle *tep; /* the rest is compiled from this */
	struct plan_slot *plan; /* by id */
	uint32_t plans;
	bool swapped;						       /* the byte order is not this machine's */
	uint32_t type_offset, type_size, pid_offset, pid_size, header; /* header 0: unknown */
	struct comm_slot comm[COMM_SLOTS];
};

struct decoder {
	struct intern *strings;
	struct budget *budget;
	char *group;
	struct decoder_stats stats;
	uint64_t last_t;     /* of the last record of ours */
	uint64_t out_t;	     /* of the last event that came out */
	uint64_t cause;	     /* of lost events: a string's id */
	uint32_t most_names; /* strings beyond which no name is added; 0: no limit */
	bool tracepoints;    /* tracepoints of the IOMMU core replace our probes */
	uint16_t required[RAW_KINDS];
	uint16_t may_miss[EV_KINDS]; /* fields whose absence is marked; an absent return code is 0 instead */

	struct thread *threads, *free_threads;
	unsigned attaches; /* threads with has_attach */
	bool waits;	   /* a thread may have something that a loss invalidates */
	bool after_loss;   /* there was one */
	struct device *devices;
	uint8_t pair[RAW_KINDS]; /* enum pairing of each kind that is an entry */

	struct callers callers;
	struct formats formats;
};

/* --- threads.c */

/* The idle tasks of all CPUs have tid 0, and interrupts make calls on each CPU independently. */
static inline uint32_t thread_id(uint32_t tid, uint32_t cpu)
{
	return tid ? tid : IDLE | cpu;
}

struct thread *thread_find(struct decoder *d, uint32_t id);
/* Finds or adds a thread. NULL and the error: out of memory. */
struct thread *thread_get(struct decoder *d, uint32_t id, struct error *e);
void thread_drop(struct decoder *d, struct thread *th);
void thread_drop_if_idle(struct decoder *d, struct thread *th);
uint32_t device_of(struct decoder *d, uint64_t idev); /* 0: not known */
int device_remember(struct decoder *d, uint64_t idev, uint32_t name, struct error *e);
void threads_free(struct decoder *d);

/* --- calls.c */

void calls_pair_all(struct decoder *d, enum pairing how);
int call_enter(struct decoder *d, const struct raw_record *r, struct error *e);
/* Completes the end of a call from its entry. Returns how many lost events; *whole: whether r is complete now. */
int call_end(struct decoder *d, struct raw_record *r, struct event *out, bool *whole);

/* --- callers.c */

/* The name of the function that a call returns to, as a string's id; 0: unknown, UINT32_MAX: no memory, and the error. */
uint32_t caller_of(struct decoder *d, uint64_t address, struct error *e);

#endif
