/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Formats of events, and the names of threads; see ring.h. libtraceevent keeps both and cannot forget any, so its
 * handle is made anew when a format changes, or when it holds too many names.
 */
#include "daemon/capture/impl.h"

#include <errno.h>
#include <stdlib.h>

#include "trace/decoder/cmdlines.h"

#define MAX_FORMAT 65536u
#define MAX_CMDLINES (4u << 20) /* bytes of saved_cmdlines, which has 128 lines unless configured larger */
#define MAX_COMMS 16384u	/* commands kept in libtraceevent, which cannot forget one */
#define CMDLINES_EVERY NS_PER_S

struct format {
	struct format *next;
	char *system, *text; /* NUL-terminated, without the print format */
	size_t name_len;     /* of "name: NAME", with which text begins */
};

/* --- formats */

static void names_forget(struct ring *r)
{
	memset(r->names.known_tid, 0xff, sizeof(r->names.known_tid));
	decoder_reset_formats(r->decoder);
}

/* Makes a handle with all the formats. NULL and the error. */
static struct tep_handle *make_tep(const struct ring *r, struct error *e)
{
	struct tep_handle *tep = tep_alloc();
	const struct format *f;

	if (!tep) {
		error_set(e, "out of memory");
		return NULL;
	}
	tep_set_loglevel(TEP_LOG_NONE); /* we report errors ourselves */
	tep_set_file_bigendian(tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_local_bigendian(tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_long_size(tep, (int)sizeof(long));
	tep_set_page_size(tep, (int)sysconf(_SC_PAGESIZE));
	for (f = r->names.formats; f; f = f->next)
		if (tep_parse_event(tep, f->text, strlen(f->text), f->system) != TEP_ERRNO__SUCCESS) {
			error_set(e, "the format of %s/%.*s cannot be parsed", f->system, (int)f->name_len - 6,
				  f->text + 6);
			tep_free(tep);
			return NULL;
		}
	return tep;
}

static int rebuild_tep(struct ring *r, struct error *e)
{
	struct tep_handle *tep = make_tep(r, e);
	struct tep_event *first;
	struct tep_format_field *pid;

	if (!tep)
		return -1;
	tep_free(r->names.tep);
	r->names.tep = tep;
	r->names.comms = 0;
	first = tep_get_first_event(tep);
	pid = first ? tep_find_common_field(first, "common_pid") : NULL;
	r->names.has_pid = pid && pid->offset >= 0 && pid->offset <= 64 && pid->size == 4;
	r->names.pid_offset = r->names.has_pid ? (uint32_t)pid->offset : 0;
	names_forget(r);
	return 0;
}

static void free_format(struct format *f)
{
	if (!f)
		return;
	free(f->system);
	free(f->text);
	free(f);
}

/* Leaves out the print format: nobody prints the event, and it is by far the hardest part to parse. */
static struct format *make_format(const char *system, const char *text, size_t len, struct error *e)
{
	static const char no_print[] = "\nprint fmt: \"\"\n";
	const char *print = memmem(text, len, "\nprint fmt:", 11), *eol = memchr(text, '\n', len);
	size_t keep = print ? (size_t)(print - text) : len;
	struct format *f;

	if (len > MAX_FORMAT || len < 7 || memcmp(text, "name: ", 6) || !eol || memchr(text, '\0', len)) {
		error_set(e, "system %s: not the format of an event: no line \"name: NAME\" at its start", system);
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		goto fail;
	f->name_len = (size_t)(eol - text);
	f->system = strdup(system);
	f->text = malloc(keep + sizeof(no_print));
	if (!f->system || !f->text)
		goto fail;
	memcpy(f->text, text, keep);
	memcpy(f->text + keep, no_print, sizeof(no_print));
	return f;
fail:
	free_format(f);
	error_set(e, "out of memory");
	return NULL;
}

static bool same_event(const struct format *a, const struct format *b)
{
	return a->name_len == b->name_len && !memcmp(a->text, b->text, a->name_len) && !strcmp(a->system, b->system);
}

/* Removes an earlier format of the same event and returns it. */
static struct format *take_format(struct ring *r, const struct format *like)
{
	struct format **at, *old;

	for (at = &r->names.formats; *at; at = &(*at)->next)
		if (same_event(*at, like)) {
			old = *at;
			*at = old->next;
			return old;
		}
	return NULL;
}

int ring_format(struct ring *r, const char *system, const char *text, size_t len, struct error *e)
{
	struct format *f = make_format(system, text, len, e), *old;

	if (!f)
		return -1;
	old = take_format(r, f);
	f->next = r->names.formats;
	r->names.formats = f;
	if (!rebuild_tep(r, e)) {
		free_format(old);
		return 0;
	}
	r->names.formats = f->next;
	free_format(f);
	if (old) {
		old->next = r->names.formats;
		r->names.formats = old;
	}
	return -1;
}

/* --- names of threads */

/* Reads the table again. Names that cannot be read stay unknown. */
static void read_cmdlines(struct ring *r)
{
	size_t cap = 16384, len = 0;
	char *text = malloc(cap), *grown;
	const char *eol;
	struct error ignored = {""};
	ssize_t n = -1;

	r->names.read_at = r->now;
	while (text) {
		n = pread(r->names.fd, text + len, cap - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		if (len < cap)
			continue;
		if (cap >= MAX_CMDLINES)
			break;
		cap *= 2;
		grown = realloc(text, cap);
		if (!grown)
			break;
		text = grown;
	}
	if (text && n >= 0 && (r->names.comms < MAX_COMMS || !rebuild_tep(r, &ignored))) {
		eol = memrchr(text, '\n', len);
		/* a malformed line is ignored */
		cmdlines_register(r->names.tep, text, eol ? (size_t)(eol - text) : 0, &r->names.comms);
		names_forget(r);
	}
	free(text);
}

void names_meet(struct ring *r, uint32_t tid)
{
	bool known = tid > INT32_MAX || tep_is_pid_registered(r->names.tep, (int)tid);

	if (!known && (!r->names.read_at || r->now - r->names.read_at >= CMDLINES_EVERY)) {
		read_cmdlines(r);
		known = true; /* or it will never be; asked for again when the table is reread */
	}
	if (known)
		r->names.known_tid[tid & (TID_SLOTS - 1)] = tid;
}

void ring_cmdlines(struct ring *r, int fd)
{
	close_fd(&r->names.fd);
	r->names.fd = fd;
	r->names.read_at = 0;
	names_forget(r);
}

/* --- names of functions */

static bool name_caller(void *ctx, uint64_t address, char out[SYMBOL_MAX])
{
	const struct ring *r = ctx;
	struct symbol_search s;
	char text[32768];
	const char *name;
	off_t at = 0;
	ssize_t n;

	symbol_begin(&s, address);
	do {
		n = pread(r->names.symbols, text, sizeof(text), at);
		if (n > 0)
			symbol_text(&s, text, (size_t)n);
		at += n > 0 ? n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	name = symbol_end(&s);
	if (n < 0 || !name)
		return false;
	memcpy(out, name, strlen(name) + 1);
	return true;
}

void ring_symbols(struct ring *r, int fd)
{
	close_fd(&r->names.symbols);
	r->names.symbols = fd;
	decoder_name_callers(r->decoder, fd < 0 ? NULL : name_caller, r, true);
}

/* --- lifetime */

int names_init(struct ring *r)
{
	r->names.tep = tep_alloc();
	names_forget(r);
	return r->names.tep ? 0 : -1;
}

void names_free(struct ring *r)
{
	struct format *f, *next;

	for (f = r->names.formats; f; f = next) {
		next = f->next;
		free_format(f);
	}
	close_fd(&r->names.fd);
	close_fd(&r->names.symbols);
	if (r->names.tep)
		tep_free(r->names.tep);
}
