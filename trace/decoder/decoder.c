/*
 * From probe records to events; see decoder.h.
 *
 * What probes mean together is kept per thread: the coherency that hwpt_alloc told, for the domain that the same thread
 * adds before hwpt_alloc_end; and an attach, held back until the tracepoint that follows it in the same thread names
 * the device. A held attach comes out at the latest with the thread's next record, with that record's time, so that
 * events leave in time order. detach and an attach without a tracepoint get the device that their idev had last.
 *
 * Kernels before 6.9 give no entry arguments at return. There the end of a call lacks what its entry has: it gets that
 * from the thread's own records, last in, first out, as calls nest. map, unmap and access_add are events at their return,
 * so their entries are records of their own, map_entry and so on. An end without its entry, and an entry that a later end
 * shows to have lost its own, become lost events. Where every end is complete nothing is paired.
 *
 * All tables are bounded: what they forget becomes "unknown" or lost, never wrong.
 */
#include "trace/decoder/decoder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "trace/decoder/cmdlines.h"

#define MAX_THREADS 65536u
#define MAX_DEVICES 65536u
#define COMM_SLOTS 1024u /* power of two */
#define MAX_IDS 65536u	 /* common_type is 16 bits */
#define MAX_CALLS 8	 /* that a thread is in at once; they nest three deep */
#define CALL_FIELDS 6	 /* that an entry has for its end: the first ones of both */
#define NO_TID UINT32_MAX
#define IDLE 0x80000000u /* no tid is so large */

#define STRUCT_PAGE_SIZE 64 /* x86-64; the probe that gives page and vmemmap exists there alone */

/* The extra fields of each kind, by index from RAW_EXTRA on. */
enum { X_RC = RAW_EXTRA };			  /* map, access_add */
enum { X_UNMAPPED = RAW_EXTRA, X_UNMAPPED_SIZE }; /* unmap; the second as the tracepoint has it */
enum { X_PAGE = RAW_EXTRA, X_VMEMMAP };		  /* unpin */
enum { X_IDEV = RAW_EXTRA };			  /* attach, detach */
enum { X_COHERENT = RAW_EXTRA };		  /* hwpt_alloc */
enum { X_DEVICE = RAW_EXTRA };			  /* attach_device_to_domain */

struct raw_desc {
	const char *name; /* NULL: that of the event */
	const char *extra[RAW_MAX_EXTRA];
	bool string;	/* the first extra is one */
	uint16_t entry; /* the kind whose record, at the entry of the same call, may have what this one lacks */
	uint16_t like;	/* an entry that is no event: the event that its fields are of */
};

static const struct raw_desc raw_table[RAW_KINDS] = {
	[EV_domain_add_end] = {.entry = EV_domain_add},
	[EV_domain_remove_end] = {.entry = EV_domain_remove},
	[EV_area_fill_end] = {.entry = EV_area_fill},
	[EV_area_unfill_end] = {.entry = EV_area_unfill},
	[EV_area_add_domain_end] = {.entry = EV_area_add_domain},
	[EV_map] = {.extra = {"rc"}, .entry = RAW_map_entry},
	[EV_access_add] = {.extra = {"rc"}, .entry = RAW_access_add_entry},
	[EV_unmap] = {.extra = {"unmapped", "unmapped_size"}, .entry = RAW_unmap_entry},
	[EV_unpin] = {.extra = {"page", "vmemmap"}},
	[EV_attach] = {.extra = {"idev"}},
	[EV_detach] = {.extra = {"idev"}},
	[RAW_hwpt_alloc] = {"hwpt_alloc", {"coherent"}},
	[RAW_hwpt_alloc_end] = {"hwpt_alloc_end"},
	[RAW_area_unfill_domain] = {"area_unfill_domain"},
	[RAW_area_unmap_domain] = {"area_unmap_domain"},
	[RAW_attach_device_to_domain] = {"attach_device_to_domain", {"device"}, true},
	[RAW_map_entry] = {"map_entry", .like = EV_map},
	[RAW_unmap_entry] = {"unmap_entry", .like = EV_unmap},
	[RAW_access_add_entry] = {"access_add_entry", .like = EV_access_add},
};

/* Field indexes of an event, from its struct. */
#define FIELD(event, name) (offsetof(struct event_##event, name) / sizeof(uint64_t))
#define BIT(i) (1u << (i))

/* Whether the ends of a kind of call need their entry: not known of text before one has been seen. */
enum pairing { PAIR_NO, PAIR_MAYBE, PAIR_YES };

/* A call that has been entered. */
struct call {
	uint16_t kind, present; /* of its entry */
	uint64_t v[CALL_FIELDS];
};

/* A thread that is between two records which belong together. */
struct thread {
	uint32_t id; /* see thread_id() */
	bool has_coherent, coherent;
	bool has_attach;
	uint8_t calls;
	struct raw_record attach;
	struct call call[MAX_CALLS]; /* the innermost last */
	struct thread *next_free;
	UT_hash_handle hh;
};

struct device {
	uint64_t idev;
	uint32_t name; /* strings id */
	UT_hash_handle hh;
};

#define THREAD_MEMORY (sizeof(struct thread) + BUDGET_HASHED)
#define DEVICE_MEMORY (sizeof(struct device) + BUDGET_HASHED)

/* How to read one field out of a record. */
enum how {
	READ_U8,
	READ_U16,
	READ_U32,
	READ_U64,
	READ_S8,
	READ_S16,
	READ_S32,
	READ_SWAPPED,
	READ_DYNAMIC,
	READ_RELATIVE,
	READ_CHARS
};

struct read_op {
	uint16_t offset, size;
	uint8_t how; /* enum how */
	uint8_t dest;
	bool is_signed;
};

/* An event format, compiled at first sight of its id. */
struct plan {
	uint16_t kind, present;
	uint16_t n;
	uint32_t need; /* bytes that a record must have */
	struct read_op op[RAW_MAX_FIELDS];
};

struct comm_slot {
	uint32_t tid, comm;
	bool unnamed;  /* it has a name, and there was no room for it */
	bool doubtful; /* its name may be forged */
};

struct decoder {
	struct intern *strings;
	struct budget *budget;
	char *group;
	struct decoder_stats stats;
	uint64_t last_t;     /* of the last record of ours */
	uint64_t out_t;	     /* of the newest event that came out */
	uint64_t cause;	     /* of lost events: a string's id */
	uint32_t most_names; /* strings beyond which no name is added; 0: no limit */
	uint16_t required[RAW_KINDS];
	uint16_t may_miss[EV_KINDS]; /* fields whose absence is marked; an absent return code is 0 instead */

	struct thread *threads, *free_threads;
	unsigned attaches; /* threads with has_attach */
	bool waits;	   /* a thread may have what a loss makes void */
	struct device *devices;
	bool tracepoints;	 /* of the IOMMU core stand in for our probes */
	uint8_t pair[RAW_KINDS]; /* enum pairing of each kind that is the entry of another */

	struct tep_handle *tep; /* what the rest was compiled from */
	const struct plan **plan;
	uint32_t plans;
	bool swapped;						       /* byte order is not this machine's */
	uint32_t type_offset, type_size, pid_offset, pid_size, header; /* header 0: not known */
	struct comm_slot comm[COMM_SLOTS];
};

static const struct plan plan_other = {.kind = RAW_OTHER};

/* --- names */

const char *raw_kind_name(unsigned kind)
{
	if (kind < EV_KINDS)
		return event_table[kind].name;
	return kind < RAW_KINDS ? raw_table[kind].name : NULL;
}

unsigned raw_kind_by_name(const char *name, size_t len)
{
	enum event_kind ev = event_kind_by_name(name, len);
	unsigned kind;

	if (ev != EV_NONE)
		return ev == EV_lost ? (unsigned)RAW_OTHER : ev;
	for (kind = EV_KINDS; kind < RAW_KINDS; kind++)
		if (strlen(raw_table[kind].name) == len && !memcmp(raw_table[kind].name, name, len))
			return kind;
	return RAW_OTHER;
}

const char *raw_field_name(unsigned kind, int field)
{
	if (field >= RAW_EXTRA)
		return field < RAW_MAX_FIELDS ? raw_table[kind].extra[field - RAW_EXTRA] : NULL;
	if (kind >= EV_KINDS)
		kind = raw_table[kind].like;
	if (!kind || field < 0 || (unsigned)field >= event_table[kind].nfields)
		return NULL;
	return event_table[kind].field[field].name;
}

bool raw_field_is_string(unsigned kind, int field)
{
	if (field >= RAW_EXTRA)
		return field == RAW_EXTRA && raw_table[kind].string;
	return kind < EV_KINDS && event_table[kind].field[field].type == FIELD_STR;
}

static bool field_is(unsigned kind, int field, const char *name, size_t len)
{
	const char *have = raw_field_name(kind, field);

	return have && have[0] == name[0] && !strncmp(have, name, len) && !have[len];
}

int raw_field_by_name(unsigned kind, const char *name, size_t len, int hint)
{
	int i;

	if (!len)
		return -1;
	if (hint >= 0 && field_is(kind, hint, name, len))
		return hint;
	for (i = 0; i < RAW_MAX_FIELDS; i++)
		if (field_is(kind, i, name, len))
			return i;
	return -1;
}

static uint16_t required_fields(unsigned kind)
{
	const struct event_desc *d;
	uint16_t mask = 0;
	unsigned i;

	if (kind == RAW_hwpt_alloc)
		return BIT(X_COHERENT);
	if (kind == RAW_attach_device_to_domain)
		return BIT(X_DEVICE);
	if (kind >= EV_KINDS)
		kind = raw_table[kind].like;
	if (!kind)
		return 0;
	d = &event_table[kind];
	for (i = 0; i < d->nfields; i++)
		if (!d->field[i].optional && d->field[i].type != FIELD_INT)
			mask |= BIT(i);
	return mask;
}

/* Whether the record of an end has nothing of what its entry has. What is an event only at its end says how it went. */
static bool is_bare_end(unsigned kind, uint16_t present)
{
	if (kind >= RAW_KINDS || !raw_table[kind].entry || present & required_fields(kind))
		return false;
	return !raw_table[kind].extra[0] || present & BIT(RAW_EXTRA);
}

const char *raw_field_lacking(unsigned kind, uint16_t present)
{
	uint16_t lacking;

	if (is_bare_end(kind, present))
		return NULL;
	if (kind == EV_unmap && present & BIT(X_UNMAPPED))
		present |= BIT(FIELD(unmap, size));
	if (kind == EV_unpin && present & BIT(X_PAGE))
		present |= present & BIT(X_VMEMMAP) ? BIT(FIELD(unpin, pfn)) : 0;
	/* All of detach is optional, but nothing at all is somebody else's event. */
	if (kind == EV_detach && !(present & (BIT(FIELD(detach, hwpt)) | BIT(X_IDEV))))
		return "idev";
	lacking = required_fields(kind) & ~present;
	return lacking ? raw_field_name(kind, __builtin_ctz(lacking)) : NULL;
}

static void pair_all(struct decoder *d, enum pairing how)
{
	unsigned kind;

	for (kind = 1; kind < RAW_KINDS; kind++)
		if (raw_table[kind].entry)
			d->pair[raw_table[kind].entry] = (uint8_t)how;
}

/* --- lifetime */

struct decoder *decoder_new(struct intern *strings, const char *group)
{
	struct decoder *d = calloc(1, sizeof(*d));
	unsigned kind, i;

	if (!d)
		return NULL;
	d->strings = strings;
	d->group = strdup(group ? group : "ioflush");
	d->cause = intern_add(strings, "decoder", strlen("decoder"));
	if (!d->group || d->cause == UINT32_MAX) {
		free(d->group);
		free(d);
		return NULL;
	}
	for (kind = 1; kind < RAW_KINDS; kind++)
		d->required[kind] = required_fields(kind);
	pair_all(d, PAIR_MAYBE);
	for (kind = 1; kind < EV_KINDS; kind++)
		for (i = 0; i < event_table[kind].nfields; i++)
			if (event_table[kind].field[i].type != FIELD_INT)
				d->may_miss[kind] |= BIT(i);
	decoder_reset_formats(d);
	return d;
}

void decoder_within(struct decoder *d, struct budget *budget)
{
	d->budget = budget;
}

void decoder_take_tracepoints(struct decoder *d)
{
	d->tracepoints = true;
}

void decoder_limit_names(struct decoder *d, uint32_t most)
{
	d->most_names = most;
}

void decoder_reset_formats(struct decoder *d)
{
	uint32_t i;

	for (i = 0; i < d->plans; i++)
		if (d->plan[i] != &plan_other)
			budget_free(d->budget, (void *)(uintptr_t)d->plan[i], sizeof(*d->plan[i]));
	budget_free(d->budget, (void *)d->plan, d->plans * sizeof(*d->plan));
	d->plan = NULL;
	d->plans = 0;
	d->tep = NULL;
	for (i = 0; i < COMM_SLOTS; i++)
		d->comm[i].tid = NO_TID;
}

void decoder_free(struct decoder *d)
{
	struct thread *th, *th_next;
	struct device *dev, *dev_next;

	if (!d)
		return;
	HASH_ITER(hh, d->threads, th, th_next) {
		HASH_DEL(d->threads, th);
		budget_free(d->budget, th, THREAD_MEMORY);
	}
	for (th = d->free_threads; th; th = th_next) {
		th_next = th->next_free;
		budget_free(d->budget, th, THREAD_MEMORY);
	}
	HASH_ITER(hh, d->devices, dev, dev_next) {
		HASH_DEL(d->devices, dev);
		budget_free(d->budget, dev, DEVICE_MEMORY);
	}
	decoder_reset_formats(d);
	free(d->group);
	free(d);
}

const struct decoder_stats *decoder_stats(const struct decoder *d)
{
	return &d->stats;
}

void decoder_dropped(const struct decoder *d, struct dropped *out)
{
	*out = (struct dropped){
		.failed_maps = d->stats.failed_map,
		.failed_accesses = d->stats.failed_access,
		.empty_unmaps = d->stats.empty_unmap,
		.other = d->stats.other,
		.unnamed = d->stats.unnamed,
		.doubtful_names = d->stats.doubtful_names,
		.moved = d->stats.moved,
	};
}

/* --- what is kept per thread and per device */

/* The idle tasks of all CPUs have the tid 0, and what interrupts them calls on each CPU by itself. */
static uint32_t thread_id(uint32_t tid, uint32_t cpu)
{
	return tid ? tid : IDLE | cpu;
}

static struct thread *find_thread(struct decoder *d, uint32_t id)
{
	struct thread *th;

	HASH_FIND(hh, d->threads, &id, sizeof(id), th);
	return th;
}

static void drop_thread(struct decoder *d, struct thread *th)
{
	d->attaches -= th->has_attach;
	HASH_DEL(d->threads, th);
	th->next_free = d->free_threads;
	d->free_threads = th;
}

static void drop_thread_if_idle(struct decoder *d, struct thread *th)
{
	if (!th->has_coherent && !th->has_attach && !th->calls && th->id != NO_TID)
		drop_thread(d, th);
}

/* Finds or adds; NULL and the error: out of memory. */
static struct thread *get_thread(struct decoder *d, uint32_t id, struct error *e)
{
	struct thread *th = find_thread(d, id), *old, *next;

	if (th)
		return th;
	if (HASH_COUNT(d->threads) >= MAX_THREADS)
		HASH_ITER(hh, d->threads, old, next)
			if (!old->has_attach) { /* the longest there; its coherency becomes unknown, its calls lost */
				drop_thread(d, old);
				break;
			}
	if (HASH_COUNT(d->threads) >= MAX_THREADS) {
		error_set(e, "attach: %u threads wait for their device, which no machine has", MAX_THREADS);
		return NULL;
	}
	th = d->free_threads;
	if (th)
		d->free_threads = th->next_free;
	else
		th = budget_resize(d->budget, NULL, 0, THREAD_MEMORY);
	if (!th)
		goto fail;
	memset(th, 0, offsetof(struct thread, attach));
	th->id = id;
	HASH_ADD(hh, d->threads, id, sizeof(th->id), th);
	if (th->hh.tbl)
		return th;
	budget_free(d->budget, th, THREAD_MEMORY);
fail:
	error_set(e, "%s", budget_failure(d->budget));
	return NULL;
}

static uint32_t device_of(struct decoder *d, uint64_t idev)
{
	struct device *dev;

	HASH_FIND(hh, d->devices, &idev, sizeof(idev), dev);
	return dev ? dev->name : 0;
}

static int remember_device(struct decoder *d, uint64_t idev, uint32_t name, struct error *e)
{
	struct device *dev, *old;

	HASH_FIND(hh, d->devices, &idev, sizeof(idev), dev);
	if (dev) {
		dev->name = name;
		return 0;
	}
	old = d->devices;
	if (HASH_COUNT(d->devices) >= MAX_DEVICES) {
		HASH_DEL(d->devices, old);
		budget_free(d->budget, old, DEVICE_MEMORY);
	}
	dev = budget_alloc(d->budget, DEVICE_MEMORY);
	if (!dev)
		return error_set(e, "%s", budget_failure(d->budget));
	dev->idev = idev;
	dev->name = name;
	HASH_ADD(hh, d->devices, idev, sizeof(dev->idev), dev);
	if (dev->hh.tbl)
		return 0;
	budget_free(d->budget, dev, DEVICE_MEMORY);
	return error_set(e, "out of memory");
}

/* --- from raw records to events */

/* The one place where events leave: none is older than those before it. */
static void give_out(struct decoder *d, struct event *ev, unsigned n)
{
	for (; n; ev++, n--) {
		if (ev->t < d->out_t) {
			ev->t = d->out_t;
			d->stats.moved++;
		}
		d->out_t = ev->t;
	}
}

/* An event with all that the record has of it. */
static void event_init(const struct decoder *d, struct event *ev, const struct raw_record *r)
{
	ev->t = r->t;
	ev->cpu = r->cpu;
	ev->tid = r->tid;
	ev->comm = r->comm;
	ev->kind = (uint8_t)r->kind;
	ev->reserved = 0;
	ev->missing = d->may_miss[r->kind] & ~r->present;
	memcpy(ev->f, r->v, sizeof(ev->f));
}

static void set_field(struct event *ev, unsigned field, uint64_t value)
{
	ev->f[field] = value;
	ev->missing &= ~BIT(field);
}

static void make_attach(struct decoder *d, struct event *ev, const struct raw_record *r, uint64_t t, uint32_t device)
{
	event_init(d, ev, r);
	ev->t = t;
	if (!device && r->present & BIT(X_IDEV))
		device = device_of(d, r->v[X_IDEV]);
	if (device && ev->missing & BIT(FIELD(attach, device)))
		set_field(ev, FIELD(attach, device), device);
}

static void drop_attach(struct decoder *d, struct thread *th)
{
	th->has_attach = false;
	d->attaches--;
	drop_thread_if_idle(d, th);
}

/* The attach that the thread holds back comes out before its next record. How many events; held: the record it was. */
static int flush_attach(struct decoder *d, uint32_t id, uint64_t t, struct event *out, struct raw_record *held)
{
	struct thread *th = find_thread(d, id);

	if (!th || !th->has_attach)
		return 0;
	*held = th->attach;
	make_attach(d, out, &th->attach, t, 0);
	drop_attach(d, th);
	return 1;
}

static int hold_attach(struct decoder *d, const struct raw_record *r, struct error *e)
{
	struct thread *th = get_thread(d, thread_id(r->tid, r->cpu), e);

	if (!th)
		return -1;
	th->attach = *r;
	th->has_attach = true;
	d->attaches++;
	return 0;
}

static int on_attach_device(struct decoder *d, const struct raw_record *r, struct event *out, struct error *e)
{
	struct thread *th = d->attaches ? find_thread(d, thread_id(r->tid, r->cpu)) : NULL;
	const struct raw_record *a;

	d->stats.state++;
	if (!th || !th->has_attach)
		return 0;
	a = &th->attach;
	if (a->present & BIT(X_IDEV) && remember_device(d, a->v[X_IDEV], (uint32_t)r->v[X_DEVICE], e))
		return -1;
	make_attach(d, out, a, r->t, (uint32_t)r->v[X_DEVICE]);
	drop_attach(d, th);
	return 1;
}

static int on_hwpt_alloc(struct decoder *d, const struct raw_record *r, struct error *e)
{
	struct thread *th = get_thread(d, thread_id(r->tid, r->cpu), e);

	d->stats.state++;
	if (!th)
		return -1;
	d->waits = true;
	th->has_coherent = true;
	th->coherent = r->v[X_COHERENT] != 0;
	return 0;
}

static void on_hwpt_alloc_end(struct decoder *d, const struct raw_record *r)
{
	struct thread *th = find_thread(d, thread_id(r->tid, r->cpu));

	d->stats.state++;
	if (!th)
		return;
	th->has_coherent = false;
	drop_thread_if_idle(d, th);
}

static void finish_domain_add(struct decoder *d, struct event *ev)
{
	struct thread *th;

	ev->domain_add.coherent = ev->domain_add.coherent != 0;
	if (!(ev->missing & BIT(FIELD(domain_add, coherent))))
		return;
	th = find_thread(d, thread_id(ev->tid, ev->cpu));
	if (th && th->has_coherent)
		set_field(ev, FIELD(domain_add, coherent), th->coherent);
}

static int finish_unpin(struct event *ev, const struct raw_record *r, struct error *e)
{
	uint64_t page = r->v[X_PAGE], vmemmap = r->v[X_VMEMMAP];

	if (r->present & BIT(FIELD(unpin, pfn)))
		return 0;
	if (page < vmemmap || (page - vmemmap) % STRUCT_PAGE_SIZE)
		return error_set(e, "unpin: page: 0x%" PRIx64 ": no struct page of the vmemmap at 0x%" PRIx64, page,
				 vmemmap);
	set_field(ev, FIELD(unpin, pfn), (page - vmemmap) / STRUCT_PAGE_SIZE);
	return 0;
}

/* A probe without type information gives a return code of 32 bits unsigned. */
static void fix_rc(int64_t *rc)
{
	if (*rc >= 0xfffff001ll && *rc <= 0xffffffffll)
		*rc -= 1ll << 32;
}

/* The event of a record that has one: 1, 0: it is dropped, or -1. */
static int make_event(struct decoder *d, const struct raw_record *r, struct event *ev, struct error *e)
{
	event_init(d, ev, r);
	switch (r->kind) {
	case EV_domain_add:
		finish_domain_add(d, ev);
		break;
	case EV_domain_add_end:
		fix_rc(&ev->domain_add_end.rc);
		break;
	case EV_area_fill_end:
		fix_rc(&ev->area_fill_end.rc);
		break;
	case EV_area_add_domain_end:
		fix_rc(&ev->area_add_domain_end.rc);
		break;
	case EV_map:
		d->stats.failed_map += r->v[X_RC] != 0;
		if (r->v[X_RC])
			return 0;
		break;
	case EV_access_add:
		d->stats.failed_access += r->v[X_RC] != 0;
		if (r->v[X_RC])
			return 0;
		break;
	case EV_unmap:
		if (r->present & (BIT(X_UNMAPPED) | BIT(X_UNMAPPED_SIZE)))
			set_field(ev, FIELD(unmap, size), r->v[X_UNMAPPED] | r->v[X_UNMAPPED_SIZE]);
		d->stats.empty_unmap += !ev->unmap.size;
		if (!ev->unmap.size)
			return 0;
		break;
	case EV_cut:
		/* With one iova the probe reads on into what lies behind the kernel's array. */
		if (ev->cut.num_iovas == 1) {
			ev->missing |= BIT(FIELD(cut, iova1));
			ev->cut.iova1 = 0;
		}
		break;
	case EV_unpin:
		/* The kernel does call with nothing to unpin: when a batch begins with a run that was used up. */
		if (!ev->unpin.npages) {
			d->stats.unneeded++;
			return 0;
		}
		if (finish_unpin(ev, r, e))
			return -1;
		break;
	case EV_attach:
		/* A probe that names the device itself needs no tracepoint to wait for. */
		if (ev->missing & BIT(FIELD(attach, device)))
			return hold_attach(d, r, e);
		break;
	case EV_detach:
		if (ev->missing & BIT(FIELD(detach, device)) && r->present & BIT(X_IDEV)) {
			uint32_t device = device_of(d, r->v[X_IDEV]);

			if (device)
				set_field(ev, FIELD(detach, device), device);
		}
		break;
	default:
		break;
	}
	return 1;
}

/* --- calls: ends that get what they lack from their entry */

static int enter_call(struct decoder *d, const struct raw_record *r, struct error *e)
{
	struct thread *th;
	struct call *call;

	/* uthash frees a table with its last entry: one that stays, where calls come and go one by one. */
	if (!d->threads && !get_thread(d, NO_TID, e))
		return -1;
	th = get_thread(d, thread_id(r->tid, r->cpu), e);
	if (!th)
		return -1;
	if (th->calls == MAX_CALLS) { /* the outermost is forgotten, and its end will be one without an entry */
		memmove(th->call, th->call + 1, (MAX_CALLS - 1) * sizeof(th->call[0]));
		th->calls--;
	}
	d->waits = true;
	call = &th->call[th->calls++];
	call->kind = r->kind;
	call->present = r->present & (BIT(CALL_FIELDS) - 1);
	memcpy(call->v, r->v, sizeof(call->v));
	return 0;
}

/* Leaves the innermost call of the kind, and with it those within, whose ends are missing: how many, or -1: none is there. */
static int leave_call(const struct decoder *d, struct thread *th, uint16_t kind, struct call *out)
{
	int i, j, within = 0;

	for (i = th->calls - 1; i >= 0 && th->call[i].kind != kind; i--)
		;
	if (i < 0)
		return -1;
	for (j = i + 1; j < th->calls; j++)
		within += d->pair[th->call[j].kind] == PAIR_YES;
	*out = th->call[i];
	th->calls = (uint8_t)i;
	return within;
}

static void make_lost(struct decoder *d, struct event *ev, const struct raw_record *r, unsigned n)
{
	memset(ev, 0, sizeof(*ev));
	ev->t = r->t;
	ev->cpu = r->cpu;
	ev->tid = r->tid;
	ev->comm = r->comm;
	ev->kind = EV_lost;
	ev->missing = BIT(FIELD(lost, since));
	ev->lost.count = n;
	ev->lost.cause = d->cause;
	d->stats.unpaired += n;
}

/* The end of a call, completed from its entry. How many events, of what is lost; *whole: whether r is complete now. */
static int end_call(struct decoder *d, struct raw_record *r, struct event *out, bool *whole)
{
	/* what it needs it has all of, or nothing: raw_field_lacking() has seen it */
	bool bare = !(r->present & d->required[r->kind]);
	uint16_t entry = raw_table[r->kind].entry;
	struct thread *th = find_thread(d, thread_id(r->tid, r->cpu));
	struct call call;
	int within = -1;
	unsigned i;

	if (bare)
		d->pair[entry] = PAIR_YES;
	if (th) {
		within = leave_call(d, th, entry, &call);
		drop_thread_if_idle(d, th);
	}
	*whole = within >= 0 || !bare;
	for (i = 0; within >= 0 && bare && i < CALL_FIELDS; i++)
		if (call.present & d->may_miss[r->kind] & BIT(i)) { /* all but the return code */
			r->v[i] = call.v[i];
			r->present |= BIT(i);
		}
	if (*whole && within <= 0)
		return 0;
	make_lost(d, out, r, within > 0 ? (unsigned)within : 1);
	return 1;
}

/* The events of the record itself, after what was held back before it. */
static int feed(struct decoder *d, const struct raw_record *r, struct event *out, struct error *e)
{
	switch (r->kind) {
	case RAW_hwpt_alloc:
		return on_hwpt_alloc(d, r, e);
	case RAW_hwpt_alloc_end:
		on_hwpt_alloc_end(d, r);
		return 0;
	case RAW_area_unfill_domain:
	case RAW_area_unmap_domain:
		d->stats.unneeded++;
		return 0;
	case RAW_map_entry:
	case RAW_unmap_entry:
	case RAW_access_add_entry:
		d->stats.state++;
		return 0;
	case RAW_attach_device_to_domain:
		return on_attach_device(d, r, out, e);
	default:
		return make_event(d, r, out, e);
	}
}

int decoder_feed(struct decoder *d, const struct raw_record *r, struct event out[DECODER_MAX_EVENTS], struct error *e)
{
	struct raw_record held, paired;
	bool whole = true;
	int n = 0, flushed, own, i;

	d->stats.records++;
	if (r->kind == RAW_OTHER || r->kind == EV_lost || r->kind >= RAW_KINDS) {
		d->stats.other++;
		return 0;
	}
	if ((r->present & d->required[r->kind]) != d->required[r->kind] || r->kind == EV_detach) {
		const char *lacking = raw_field_lacking(r->kind, r->present);

		if (lacking)
			return error_set(e, "%s: %s: the probe has no such field", raw_kind_name(r->kind), lacking);
	}
	d->last_t = r->t;
	if (d->attaches && r->kind != RAW_attach_device_to_domain)
		n = flush_attach(d, thread_id(r->tid, r->cpu), r->t, out, &held);
	flushed = n;
	if (d->pair[raw_table[r->kind].entry]) {
		paired = *r;
		r = &paired;
		n += end_call(d, &paired, out + n, &whole);
	}
	own = whole ? feed(d, r, out + n, e) : 0;
	for (i = 0; own >= 0 && i < n + own; i++)
		if (event_check(&out[i], e))
			own = -1;
	if (own >= 0 && d->pair[r->kind] && enter_call(d, r, e))
		own = -1;
	if (own < 0) {
		if (flushed && !event_check(&out[0], NULL)) /* it is not that one's fault */
			hold_attach(d, &held, e);
		return -1;
	}
	n += own;
	d->stats.events += (uint64_t)n;
	give_out(d, out, (unsigned)n);
	return n;
}

void decoder_lost(struct decoder *d, struct event *lost)
{
	struct thread *th, *next;

	give_out(d, lost, 1);
	if (!d->waits)
		return;
	d->waits = false;
	HASH_ITER(hh, d->threads, th, next) {
		th->has_coherent = false;
		th->calls = 0;
		drop_thread_if_idle(d, th);
	}
}

int decoder_finish(struct decoder *d, struct event *out)
{
	struct thread *th, *next;
	struct raw_record held;

	HASH_ITER(hh, d->threads, th, next) {
		if (!th->has_attach) {
			drop_thread(d, th);
			continue;
		}
		d->stats.events++;
		flush_attach(d, th->id, d->last_t, out, &held);
		give_out(d, out, 1);
		return 1;
	}
	return 0;
}

/* --- libtraceevent records */

/* Compiles how to read one field. 0, or -1: not a number or a string as it should be. */
static int compile_field(struct decoder *d, struct tep_format_field *f, bool want_string, struct read_op *op)
{
	static const uint8_t unsigned_how[] = {[1] = READ_U8, [2] = READ_U16, [4] = READ_U32, [8] = READ_U64};
	static const uint8_t signed_how[] = {[1] = READ_S8, [2] = READ_S16, [4] = READ_S32, [8] = READ_U64};

	if (f->offset < 0 || f->size <= 0 || f->offset > UINT16_MAX || f->size > UINT16_MAX)
		return -1;
	op->offset = (uint16_t)f->offset;
	op->size = (uint16_t)f->size;
	op->is_signed = f->flags & TEP_FIELD_IS_SIGNED;
	if (want_string) {
		if (!(f->flags & TEP_FIELD_IS_STRING))
			return -1;
		op->how = READ_CHARS;
		if (f->flags & TEP_FIELD_IS_DYNAMIC)
			op->how = f->flags & TEP_FIELD_IS_RELATIVE ? READ_RELATIVE : READ_DYNAMIC;
		return op->how != READ_CHARS && op->size != 4 ? -1 : 0;
	}
	if (f->flags & (TEP_FIELD_IS_STRING | TEP_FIELD_IS_DYNAMIC | TEP_FIELD_IS_ARRAY))
		return -1;
	if (op->size != 1 && op->size != 2 && op->size != 4 && op->size != 8)
		return -1;
	op->how = op->is_signed ? signed_how[op->size] : unsigned_how[op->size];
	if (op->size > 1 && d->swapped)
		op->how = READ_SWAPPED;
	return 0;
}

/* Compiles the fields of an event that has one of our names. Which one is unusable, or NULL. */
static const char *compile_fields(struct decoder *d, struct tep_event *event, struct plan *plan)
{
	struct tep_format_field *f;
	const char *bad = NULL;
	int dest;

	for (f = event->format.fields; f; f = f->next) {
		struct read_op *op = &plan->op[plan->n];

		dest = raw_field_by_name(plan->kind, f->name, strlen(f->name), -1);
		if (dest < 0 || plan->present & BIT(dest))
			continue;
		if (compile_field(d, f, raw_field_is_string(plan->kind, dest), op)) {
			bad = raw_field_name(plan->kind, dest);
			continue;
		}
		op->dest = (uint8_t)dest;
		plan->present |= BIT(dest);
		plan->n++;
		if (plan->need < (uint32_t)op->offset + op->size)
			plan->need = (uint32_t)op->offset + op->size;
	}
	return bad;
}

static uint16_t fields_present(const struct tep_event *event, unsigned kind)
{
	const struct tep_format_field *f;
	uint16_t present = 0;
	int field;

	for (f = event->format.fields; f; f = f->next) {
		field = raw_field_by_name(kind, f->name, strlen(f->name), -1);
		if (field >= 0)
			present |= BIT(field);
	}
	return present;
}

static unsigned kind_of_format(const struct tep_event *event)
{
	return event->name ? raw_kind_by_name(event->name, strlen(event->name)) : (unsigned)RAW_OTHER;
}

bool decoder_reads(const struct tep_event *event)
{
	unsigned kind = kind_of_format(event);

	return kind != RAW_OTHER && !raw_field_lacking(kind, fields_present(event, kind));
}

/*
 * The tracepoints iommu:map and iommu:unmap name no domain. Where they stand in for our probes, the domain is 0, which no
 * kernel pointer is: nobody's.
 */
static uint16_t unknown_domain(unsigned kind)
{
	if (kind == EV_map)
		return BIT(FIELD(map, domain));
	return kind == EV_unmap ? BIT(FIELD(unmap, domain)) : 0;
}

/* Compiles a format. NULL and the error; plan_other: none of ours. */
static const struct plan *compile(struct decoder *d, uint32_t id, struct error *e)
{
	struct tep_event *event = tep_find_event(d->tep, (int)id);
	const char *bad, *lacking;
	struct plan *plan;
	unsigned kind;
	bool ours;

	if (!event || !event->name)
		return &plan_other;
	kind = raw_kind_by_name(event->name, strlen(event->name));
	if (kind == RAW_OTHER)
		return &plan_other;
	plan = budget_alloc(d->budget, sizeof(*plan));
	if (!plan) {
		error_set(e, "%s", budget_failure(d->budget));
		return NULL;
	}
	plan->kind = (uint16_t)kind;
	plan->need = d->header;
	bad = compile_fields(d, event, plan);
	ours = event->system && !strcmp(event->system, d->group);
	if (d->tracepoints && event->system && !strcmp(event->system, "iommu"))
		plan->present |= unknown_domain(kind);
	lacking = raw_field_lacking(kind, plan->present);
	if (!lacking && !(ours && bad))
		return plan;
	budget_free(d->budget, plan, sizeof(*plan));
	if (!ours)
		return &plan_other;
	if (bad)
		error_set(e, "probe %s/%s: %s: is no %s", event->system, event->name, bad,
			  raw_field_is_string(kind, raw_field_by_name(kind, bad, strlen(bad), -1)) ? "string" : "number");
	else
		error_set(e, "probe %s/%s: %s: the probe has no such field", event->system, event->name, lacking);
	return NULL;
}

/* Which ends need their entry, as their formats say. */
static void compile_pairing(struct decoder *d)
{
	int i, n = tep_get_events_count(d->tep);

	pair_all(d, PAIR_NO);
	for (i = 0; i < n; i++) {
		const struct tep_event *event = tep_get_event(d->tep, i);
		unsigned kind = event ? kind_of_format(event) : (unsigned)RAW_OTHER;

		if (raw_table[kind].entry && is_bare_end(kind, fields_present(event, kind)))
			d->pair[raw_table[kind].entry] = PAIR_YES;
	}
}

/* Where every record has its type and pid. They are the same in all formats. */
static void compile_header(struct decoder *d)
{
	struct tep_event *event = tep_get_first_event(d->tep);
	struct tep_format_field *type = event ? tep_find_common_field(event, "common_type") : NULL;
	struct tep_format_field *pid = event ? tep_find_common_field(event, "common_pid") : NULL;
	uint32_t end;

	d->swapped = tep_is_file_bigendian(d->tep) != tep_is_bigendian();
	compile_pairing(d);
	d->header = 0;
	if (!type || !pid || type->offset < 0 || pid->offset < 0 || type->size != 2 || pid->size != 4)
		return;
	if (type->offset > 64 || pid->offset > 64)
		return;
	d->type_offset = (uint32_t)type->offset;
	d->type_size = (uint32_t)type->size;
	d->pid_offset = (uint32_t)pid->offset;
	d->pid_size = (uint32_t)pid->size;
	end = d->type_offset + d->type_size;
	d->header = d->pid_offset + d->pid_size > end ? d->pid_offset + d->pid_size : end;
}

static const struct plan *find_plan(struct decoder *d, uint32_t id, struct error *e)
{
	const struct plan **grown;
	uint32_t want = 256;

	if (id < d->plans && d->plan[id])
		return d->plan[id];
	if (id >= d->plans) {
		while (want <= id)
			want *= 2;
		grown = budget_resize(d->budget, (void *)d->plan, d->plans * sizeof(*grown), want * sizeof(*grown));
		if (!grown) {
			error_set(e, "%s", budget_failure(d->budget));
			return NULL;
		}
		memset((void *)(grown + d->plans), 0, (want - d->plans) * sizeof(*grown));
		d->plan = grown;
		d->plans = want;
	}
	d->plan[id] = compile(d, id, e);
	return d->plan[id];
}

static uint64_t sign_extend(uint64_t v, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(v << shift) >> shift);
}

#define LOAD(type, p)                         \
	({                                    \
		type v_;                      \
		memcpy(&v_, (p), sizeof(v_)); \
		v_;                           \
	})

/* The string of a field as an id; 0: empty, UINT32_MAX and the error. */
static uint32_t read_string(struct decoder *d, const struct tep_record *rec, const struct read_op *op, struct error *e)
{
	const char *data = rec->data;
	size_t offset = op->offset, len = op->size;
	uint32_t loc, id;

	if (op->how != READ_CHARS) {
		loc = (uint32_t)tep_read_number(d->tep, data + op->offset, 4);
		offset = (loc & 0xffff) + (op->how == READ_RELATIVE ? op->offset + 4u : 0);
		len = loc >> 16;
		if (offset > (size_t)rec->size || len > (size_t)rec->size - offset) {
			error_set(e, "device: string at %zu to %zu of a record of %d bytes", offset, offset + len,
				  rec->size);
			return UINT32_MAX;
		}
	}
	len = strnlen(data + offset, len);
	if (len > EVENT_MAX_STRING) {
		error_set(e, "device: a string of %zu bytes; none has more than %d", len, EVENT_MAX_STRING);
		return UINT32_MAX;
	}
	id = intern_add(d->strings, data + offset, len);
	if (id == UINT32_MAX)
		error_set(e, "device: %s", intern_failure(d->strings));
	return id;
}

static uint64_t read_number(struct decoder *d, const struct read_op *op, const uint8_t *p)
{
	uint64_t v;

	switch ((enum how)op->how) {
	case READ_U8:
		return *p;
	case READ_U16:
		return LOAD(uint16_t, p);
	case READ_U32:
		return LOAD(uint32_t, p);
	case READ_U64:
		return LOAD(uint64_t, p);
	case READ_S8:
		return (uint64_t)(int64_t)LOAD(int8_t, p);
	case READ_S16:
		return (uint64_t)(int64_t)LOAD(int16_t, p);
	case READ_S32:
		return (uint64_t)(int64_t)LOAD(int32_t, p);
	default:
		v = tep_read_number(d->tep, p, op->size);
		return op->is_signed ? sign_extend(v, op->size) : v;
	}
}

static uint32_t comm_of(struct decoder *d, uint32_t tid, struct error *e)
{
	struct comm_slot *slot = &d->comm[tid & (COMM_SLOTS - 1)];
	const char *comm;

	if (slot->tid == tid)
		goto out;
	comm = tep_data_comm_from_pid(d->tep, (int)tid);
	slot->doubtful = comm && !strcmp(comm, CMDLINES_DOUBT);
	if (!comm || slot->doubtful || !strcmp(comm, "<...>"))
		comm = "";
	slot->unnamed = *comm && d->most_names && intern_count(d->strings) >= d->most_names &&
			!intern_find(d->strings, comm, strlen(comm));
	slot->comm = slot->unnamed ? 0 : intern_add(d->strings, comm, strlen(comm));
	if (slot->comm == UINT32_MAX) {
		error_set(e, "comm: %s", intern_failure(d->strings));
		return UINT32_MAX;
	}
	slot->tid = tid;
out:
	d->stats.unnamed += slot->unnamed;
	d->stats.doubtful_names += slot->doubtful;
	return slot->comm;
}

/* Reads all the fields that the plan names. 0 or -1. */
static int read_fields(struct decoder *d, const struct plan *plan, const struct tep_record *rec, struct raw_record *raw,
		       struct error *e)
{
	const uint8_t *data = rec->data;
	unsigned i;

	for (i = 0; i < plan->n; i++) {
		const struct read_op *op = &plan->op[i];

		if (op->how < READ_DYNAMIC) {
			raw->v[op->dest] = read_number(d, op, data + op->offset);
			continue;
		}
		raw->v[op->dest] = read_string(d, rec, op, e);
		if (raw->v[op->dest] == UINT32_MAX)
			return -1;
		if (!raw->v[op->dest])
			raw->present &= ~BIT(op->dest);
	}
	return 0;
}

int decoder_record(struct decoder *d, struct tep_handle *tep, const struct tep_record *rec,
		   struct event out[DECODER_MAX_EVENTS], struct error *e)
{
	struct raw_record raw;
	const struct plan *plan;
	const uint8_t *data = rec->data;
	uint32_t id;

	if (d->tep != tep) {
		decoder_reset_formats(d);
		d->tep = tep;
		compile_header(d);
	}
	if (!d->header) { /* there is no format at all */
		d->stats.records++;
		d->stats.other++;
		return 0;
	}
	if (rec->size < 0 || (uint32_t)rec->size < d->header)
		return error_set(e, "a record of %d bytes: every record has %u", rec->size, d->header);
	id = d->swapped ? (uint32_t)tep_read_number(tep, data + d->type_offset, 2) :
			  LOAD(uint16_t, data + d->type_offset);
	plan = find_plan(d, id, e);
	if (!plan)
		return -1;
	if (plan->kind == RAW_OTHER) {
		d->stats.records++;
		d->stats.other++;
		return 0;
	}
	if ((uint32_t)rec->size < plan->need)
		return error_set(e, "%s: a record of %d bytes: its format has %u", raw_kind_name(plan->kind), rec->size,
				 plan->need);
	raw.t = rec->ts;
	raw.cpu = (uint32_t)rec->cpu;
	raw.tid = d->swapped ? (uint32_t)tep_read_number(tep, data + d->pid_offset, 4) :
			       LOAD(uint32_t, data + d->pid_offset);
	raw.kind = plan->kind;
	raw.present = plan->present;
	memset(raw.v, 0, sizeof(raw.v));
	if (raw.tid > INT32_MAX)
		return error_set(e, "%s: common_pid: %d: is negative", raw_kind_name(plan->kind), (int)raw.tid);
	raw.comm = comm_of(d, raw.tid, e);
	if (raw.comm == UINT32_MAX || read_fields(d, plan, rec, &raw, e))
		return -1;
	return decoder_feed(d, &raw, out, e);
}
