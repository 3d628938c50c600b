/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From libtraceevent's records to raw ones. When a format is first seen, it is compiled into a plan of how to read each
 * field.
 */
#include "trace/decoder/impl.h"

#include <string.h>

#include "trace/caller.h"
#include "trace/decoder/cmdlines.h"

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

static const struct plan plan_other = {.kind = RAW_OTHER};

void decoder_reset_formats(struct decoder *d)
{
	uint32_t i;

	for (i = 0; i < d->formats.plans; i++)
		if (d->formats.plan[i].plan != &plan_other)
			budget_free(d->budget, (void *)(uintptr_t)d->formats.plan[i].plan, sizeof(struct plan));
	budget_free(d->budget, d->formats.plan, d->formats.plans * sizeof(*d->formats.plan));
	d->formats.plan = NULL;
	d->formats.plans = 0;
	d->formats.tep = NULL;
	for (i = 0; i < COMM_SLOTS; i++)
		d->formats.comm[i].tid = NO_TID;
}

/* Compiles how to read one field. 0, or -1: it is not the number or string that it should be. */
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
	if (op->size > 1 && d->formats.swapped)
		op->how = READ_SWAPPED;
	return 0;
}

/* Compiles the fields of an event with one of our names. Returns the unusable field, or NULL. */
static const char *compile_fields(struct decoder *d, struct tep_event *event, struct plan *plan)
{
	struct tep_format_field *f;
	const char *bad = NULL;
	int dest, address;

	for (f = event->format.fields; f; f = f->next) {
		struct read_op *op = &plan->op[plan->n];

		dest = raw_field_by_name(plan->kind, f->name, strlen(f->name), -1);
		address = raw_field_as_address(plan->kind, dest);
		if (address >= 0 && !(f->flags & TEP_FIELD_IS_STRING))
			dest = address;
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
 * The tracepoints iommu:map and iommu:unmap name no domain. If they replace our probes, the domain is 0, which is no
 * kernel pointer.
 */
static uint16_t unknown_domain(unsigned kind)
{
	if (kind == EV_map)
		return EVENT_BIT(map, domain);
	return kind == EV_unmap ? EVENT_BIT(unmap, domain) : 0;
}

/* Compiles a format. NULL and the error; plan_other: not ours. */
static const struct plan *compile(struct decoder *d, uint32_t id, struct error *e)
{
	struct tep_event *event = tep_find_event(d->formats.tep, (int)id);
	const char *bad, *lacking;
	struct plan *plan;
	unsigned kind;
	bool ours;

	kind = event ? kind_of_format(event) : (unsigned)RAW_OTHER;
	if (kind == RAW_OTHER)
		return &plan_other;
	plan = budget_alloc(d->budget, sizeof(*plan));
	if (!plan) {
		error_set(e, "%s", budget_failure(d->budget));
		return NULL;
	}
	plan->kind = (uint16_t)kind;
	plan->need = d->formats.header;
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

/* Learns from the formats which ends need their entry. */
static void compile_pairing(struct decoder *d)
{
	int i, n = tep_get_events_count(d->formats.tep);

	calls_pair_all(d, PAIR_NO);
	for (i = 0; i < n; i++) {
		const struct tep_event *event = tep_get_event(d->formats.tep, i);
		unsigned kind = event ? kind_of_format(event) : (unsigned)RAW_OTHER;

		if (raw_table[kind].entry && raw_is_bare_end(kind, fields_present(event, kind)))
			d->pair[raw_table[kind].entry] = PAIR_YES;
	}
}

/* Finds where records have their type and pid: the same in all formats. */
static void compile_header(struct decoder *d)
{
	struct tep_event *event = tep_get_first_event(d->formats.tep);
	struct tep_format_field *type = event ? tep_find_common_field(event, "common_type") : NULL;
	struct tep_format_field *pid = event ? tep_find_common_field(event, "common_pid") : NULL;
	uint32_t end;

	d->formats.swapped = tep_is_file_bigendian(d->formats.tep) != tep_is_bigendian();
	compile_pairing(d);
	d->formats.header = 0;
	if (!type || !pid || type->offset < 0 || pid->offset < 0 || type->size != 2 || pid->size != 4)
		return;
	if (type->offset > 64 || pid->offset > 64)
		return;
	d->formats.type_offset = (uint32_t)type->offset;
	d->formats.type_size = (uint32_t)type->size;
	d->formats.pid_offset = (uint32_t)pid->offset;
	d->formats.pid_size = (uint32_t)pid->size;
	end = d->formats.type_offset + d->formats.type_size;
	d->formats.header =
		d->formats.pid_offset + d->formats.pid_size > end ? d->formats.pid_offset + d->formats.pid_size : end;
}

void decoder_others(const struct decoder *d, void (*each)(void *ctx, uint32_t id, uint64_t n), void *ctx)
{
	uint32_t id;

	for (id = 0; id < d->formats.plans; id++)
		if (d->formats.plan[id].others)
			each(ctx, id, d->formats.plan[id].others);
}

static const struct plan *find_plan(struct decoder *d, uint32_t id, struct error *e)
{
	struct plan_slot *grown;
	uint32_t want = 256;

	if (id < d->formats.plans && d->formats.plan[id].plan)
		return d->formats.plan[id].plan;
	if (id >= d->formats.plans) {
		while (want <= id)
			want *= 2;
		grown = budget_resize(d->budget, d->formats.plan, d->formats.plans * sizeof(*grown),
				      want * sizeof(*grown));
		if (!grown) {
			error_set(e, "%s", budget_failure(d->budget));
			return NULL;
		}
		memset(grown + d->formats.plans, 0, (want - d->formats.plans) * sizeof(*grown));
		d->formats.plan = grown;
		d->formats.plans = want;
	}
	d->formats.plan[id].plan = compile(d, id, e);
	return d->formats.plan[id].plan;
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

/* The string of a field as an id; 0: empty or unknown, UINT32_MAX and the error. */
static uint32_t read_string(struct decoder *d, const struct plan *plan, const struct tep_record *rec,
			    const struct read_op *op, struct error *e)
{
	const char *data = rec->data, *field = raw_field_name(plan->kind, op->dest);
	size_t offset = op->offset, len = op->size;
	uint32_t loc, id;

	if (op->how != READ_CHARS) {
		loc = (uint32_t)tep_read_number(d->formats.tep, data + op->offset, 4);
		offset = (loc & 0xffff) + (op->how == READ_RELATIVE ? op->offset + 4u : 0);
		len = loc >> 16;
		if (offset > (size_t)rec->size || len > (size_t)rec->size - offset) {
			error_set(e, "%s: string at %zu to %zu of a record of %d bytes", field, offset, offset + len,
				  rec->size);
			return UINT32_MAX;
		}
	}
	len = strnlen(data + offset, len);
	if (len > EVENT_MAX_STRING) {
		error_set(e, "%s: a string of %zu bytes; none has more than %d", field, len, EVENT_MAX_STRING);
		return UINT32_MAX;
	}
	if (raw_field_as_address(plan->kind, op->dest) >= 0 && !caller_is_known(data + offset, len))
		return 0;
	id = intern_add(d->strings, data + offset, len);
	if (id == UINT32_MAX)
		error_set(e, "%s: %s", field, intern_failure(d->strings));
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
		v = tep_read_number(d->formats.tep, p, op->size);
		return op->is_signed ? sign_extend(v, op->size) : v;
	}
}

static uint32_t comm_of(struct decoder *d, uint32_t tid, struct error *e)
{
	struct comm_slot *slot = &d->formats.comm[tid & (COMM_SLOTS - 1)];
	const char *comm;

	if (slot->tid == tid)
		goto out;
	comm = tep_data_comm_from_pid(d->formats.tep, (int)tid);
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

/* Reads all fields of the plan. 0 or -1. */
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
		raw->v[op->dest] = read_string(d, plan, rec, op, e);
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

	if (d->formats.tep != tep) {
		decoder_reset_formats(d);
		d->formats.tep = tep;
		compile_header(d);
	}
	if (!d->formats.header) { /* there is no format */
		d->stats.records++;
		d->stats.other++;
		return 0;
	}
	if (rec->size < 0 || (uint32_t)rec->size < d->formats.header)
		return error_set(e, "a record of %d bytes: every record has %u", rec->size, d->formats.header);
	id = d->formats.swapped ? (uint32_t)tep_read_number(tep, data + d->formats.type_offset, 2) :
				  LOAD(uint16_t, data + d->formats.type_offset);
	plan = find_plan(d, id, e);
	if (!plan)
		return -1;
	if (plan->kind == RAW_OTHER) {
		d->formats.plan[id].others++;
		d->stats.records++;
		d->stats.other++;
		return 0;
	}
	if ((uint32_t)rec->size < plan->need)
		return error_set(e, "%s: a record of %d bytes: its format has %u", raw_kind_name(plan->kind), rec->size,
				 plan->need);
	raw.t = rec->ts;
	raw.cpu = (uint32_t)rec->cpu;
	raw.tid = d->formats.swapped ? (uint32_t)tep_read_number(tep, data + d->formats.pid_offset, 4) :
				       LOAD(uint32_t, data + d->formats.pid_offset);
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
