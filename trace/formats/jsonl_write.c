/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON Lines, the writer; see jsonl.h. Pieces are put together in one buffer, after making room for the whole piece. */
#include "trace/formats/jsonl.h"
#include "trace/formats/jsonl_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define WRITE_SIZE (256u * 1024)
#define MAX_NUMBER 24  /* bytes of the longest number with quotes */
#define COUNT_WIDTH 20 /* bytes of the longest count; JSON allows blanks behind one */

static const char hex_digits[] = "0123456789abcdef";

struct jsonl_writer {
	char *path;
	int fd;
	bool regular;	 /* a file that may be removed again */
	bool goes_back;	 /* a count of events can be filled in */
	off_t at;	 /* if so: where buf goes */
	off_t count_at;	 /* and where the count of the current capture goes, 0: there is none */
	uint64_t events; /* of it */
	bool failed;
	size_t len;
	char buf[WRITE_SIZE];
};

int jsonl_writer_open(struct jsonl_writer **out, const char *path, struct error *e)
{
	struct jsonl_writer *w = calloc(1, sizeof(*w));
	bool is_stdout = !strcmp(path, "-");
	struct stat st, link;

	*out = NULL;
	if (!w)
		return error_set(e, "%s: out of memory", path);
	w->path = strdup(is_stdout ? "standard output" : path);
	if (!w->path) {
		free(w);
		return error_set(e, "%s: out of memory", path);
	}
	w->fd = is_stdout ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) :
			    open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (w->fd < 0) {
		error_errno(e, "%s: opening for writing", w->path);
		free(w->path);
		free(w);
		return -1;
	}
	/* the name itself must be the file: the link /dev/stdout must stay */
	w->regular = !is_stdout && !fstat(w->fd, &st) && S_ISREG(st.st_mode) && !lstat(path, &link) &&
		     S_ISREG(link.st_mode);
	w->goes_back = !fstat(w->fd, &st) && S_ISREG(st.st_mode) && !(fcntl(w->fd, F_GETFL) & O_APPEND);
	w->at = w->goes_back ? lseek(w->fd, 0, SEEK_CUR) : 0;
	w->goes_back &= w->at >= 0;
	*out = w;
	return 0;
}

static int flush(struct jsonl_writer *w, struct error *e)
{
	size_t done = 0;
	ssize_t n;

	if (w->failed)
		return error_set(e, "%s: an earlier write failed", w->path);
	while (done < w->len) {
		n = write(w->fd, w->buf + done, w->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			w->failed = true;
			return error_errno(e, "%s: writing", w->path);
		}
		done += (size_t)n;
	}
	w->at += (off_t)w->len;
	w->len = 0;
	return 0;
}

/* Fills in the number of events of the capture. 0, or -1 and the error. */
static int settle_count(struct jsonl_writer *w, struct error *e)
{
	char count[COUNT_WIDTH + 1];
	size_t done = 0;
	ssize_t n;

	if (!w->count_at)
		return 0;
	if (flush(w, e))
		return -1;
	snprintf(count, sizeof(count), "%-*" PRIu64, COUNT_WIDTH, w->events);
	while (done < COUNT_WIDTH) {
		n = pwrite(w->fd, count + done, COUNT_WIDTH - done, w->count_at + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			w->failed = true;
			return error_errno(e, "%s: writing the number of events", w->path);
		}
		done += (size_t)n;
	}
	w->count_at = 0;
	return 0;
}

/* Makes room for need bytes, at most WRITE_SIZE. */
static inline int reserve(struct jsonl_writer *w, size_t need, struct error *e)
{
	return WRITE_SIZE - w->len >= need ? 0 : flush(w, e);
}

static inline char *put_text(char *p, const char *text, size_t len)
{
	memcpy(p, text, len);
	return p + len;
}

static char *put_dec(char *p, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	return put_text(p, digits + n, sizeof(digits) - n);
}

static char *put_hex(char *p, uint64_t v)
{
	int shift = v ? (63 - __builtin_clzll(v)) & ~3 : 0;

	p = put_text(p, "\"0x", 3);
	for (; shift >= 0; shift -= 4)
		*p++ = hex_digits[v >> shift & 15];
	*p++ = '"';
	return p;
}

/* Decimal where a JSON reader with signed 64-bit numbers reads it exactly, else hex. */
static char *put_number(char *p, uint64_t v)
{
	return v <= INT64_MAX ? put_dec(p, v) : put_hex(p, v);
}

static char *put_signed(char *p, uint64_t v)
{
	if (v > INT64_MAX) {
		*p++ = '-';
		v = -v;
	}
	return put_dec(p, v);
}

static char *put_hex_byte(char *p, unsigned char c)
{
	*p++ = hex_digits[c >> 4];
	*p++ = hex_digits[c & 15];
	return p;
}

/* Writes one character of a string, or an invalid byte, as at most 6 bytes. Returns how many bytes it read. */
static size_t put_char(char **out, const unsigned char *c, size_t left)
{
	size_t len = text_utf8_len((const char *)c, left);
	char *p = *out;

	if (!len) {
		p = put_hex_byte(put_text(p, "\\\\x", 3), *c);
		len = 1;
	} else if (*c == '"' || *c == '\\') {
		*p++ = '\\';
		*p++ = (char)*c;
	} else if (*c == '\n') {
		p = put_text(p, "\\n", 2);
	} else if (*c == '\t') {
		p = put_text(p, "\\t", 2);
	} else if (*c < 0x20 || *c == 0x7f) {
		p = put_hex_byte(put_text(p, "\\u00", 4), *c);
	} else {
		p = put_text(p, (const char *)c, len);
	}
	*out = p;
	return len;
}

static int write_text(struct jsonl_writer *w, const char *text, struct error *e)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t left = strlen(text), n;
	char *p;

	if (reserve(w, 8, e))
		return -1;
	w->buf[w->len++] = '"';
	for (; left; c += n, left -= n) {
		if (reserve(w, 8, e))
			return -1;
		p = w->buf + w->len;
		n = put_char(&p, c, left);
		w->len = (size_t)(p - w->buf);
	}
	if (reserve(w, 8, e))
		return -1;
	w->buf[w->len++] = '"';
	return 0;
}

static int write_raw(struct jsonl_writer *w, const char *text, size_t len, struct error *e)
{
	if (reserve(w, len, e))
		return -1;
	w->len = (size_t)(put_text(w->buf + w->len, text, len) - w->buf);
	return 0;
}

/* ,"key": */
static int write_key(struct jsonl_writer *w, const char *key, struct error *e)
{
	return write_raw(w, ",\"", 2, e) || write_raw(w, key, strlen(key), e) || write_raw(w, "\":", 2, e) ? -1 : 0;
}

static int write_header_text(struct jsonl_writer *w, const char *key, const char *value, bool always, struct error *e)
{
	if (!always && (!value || !value[0]))
		return 0;
	return write_key(w, key, e) ? -1 : write_text(w, value ? value : "", e);
}

/* The number of events, or room for it: as long as it is "null", the writer has not finished. */
static int write_count(struct jsonl_writer *w, uint64_t known, struct error *e)
{
	static const char key[] = ",\"events\":";
	char count[COUNT_WIDTH + 1];

	if (!known && !w->goes_back)
		return 0;
	snprintf(count, sizeof(count), "%-*s", COUNT_WIDTH, "null");
	if (!w->goes_back)
		snprintf(count, sizeof(count), "%-*" PRIu64, COUNT_WIDTH, known);
	if (write_raw(w, key, sizeof(key) - 1, e))
		return -1;
	w->count_at = w->goes_back ? w->at + (off_t)w->len : 0;
	if (reserve(w, COUNT_WIDTH, e))
		return -1;
	return write_raw(w, count, COUNT_WIDTH, e);
}

int jsonl_write_capture(struct jsonl_writer *w, const struct capture *c, struct error *e)
{
	static const char start[] = "{\"ioflush_trace\":1,\"page_size\":4096";
	bool complete = !c->state || !strcmp(c->state, "complete");

	if (settle_count(w, e))
		return -1;
	w->events = 0;
	if (write_raw(w, start, sizeof(start) - 1, e) || write_header_text(w, "host", c->host, true, e) ||
	    write_header_text(w, "clock", c->clock, true, e) || write_header_text(w, "kernel", c->kernel, false, e) ||
	    write_header_text(w, "probes", c->probes, false, e) || write_header_text(w, "source", c->source, false, e) ||
	    write_header_text(w, "state", complete ? "" : c->state, false, e) ||
	    write_header_text(w, "note", c->note, false, e) || write_count(w, c->events, e))
		return -1;
	return write_raw(w, "}\n", 2, e);
}

/* The value of a known field that is not a string. */
static char *put_field(char *p, enum field_type type, uint64_t v)
{
	switch (type) {
	case FIELD_ID:
	case FIELD_HEX:
		return put_hex(p, v);
	case FIELD_INT:
		return put_signed(p, v);
	default:
		return put_number(p, v);
	}
}

static int write_string_field(struct jsonl_writer *w, const char *key, uint64_t id, const struct intern *strings,
			      struct error *e)
{
	const char *text = id <= UINT32_MAX ? intern_get(strings, (uint32_t)id) : NULL;

	if (!text)
		return error_set(e, "%s: writing: %s: string %" PRIu64 " is not in the table", w->path, key, id);
	return write_key(w, key, e) ? -1 : write_text(w, text, e);
}

static int write_fields(struct jsonl_writer *w, const struct event *ev, const struct intern *strings, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;
	char *p;

	for (i = 0; i < d->nfields; i++) {
		const struct field_desc *f = &d->field[i];
		bool unknown = ev->missing & 1u << i;
		size_t len;

		if (unknown && f->type != FIELD_FLAG)
			continue;
		if (f->type == FIELD_STR) {
			if (write_string_field(w, f->name, ev->f[i], strings, e))
				return -1;
			continue;
		}
		len = strlen(f->name);
		if (reserve(w, len + 4 + MAX_NUMBER, e))
			return -1;
		p = put_text(w->buf + w->len, ",\"", 2);
		p = put_text(p, f->name, len);
		p = put_text(p, "\":", 2);
		p = unknown ? put_text(p, "null", 4) : put_field(p, f->type, ev->f[i]);
		w->len = (size_t)(p - w->buf);
	}
	return 0;
}

static int write_event(struct jsonl_writer *w, const struct event *ev, const struct intern *strings, struct error *e)
{
	const char *name = event_table[ev->kind].name;
	char *p;

	if (reserve(w, 128, e))
		return -1;
	p = put_text(w->buf + w->len, "{\"t\":", 5);
	p = put_number(p, ev->t);
	if (ev->cpu != EVENT_NO_CPU) {
		p = put_text(p, ",\"cpu\":", 7);
		p = put_dec(p, ev->cpu);
	}
	if (ev->tid != EVENT_NO_TID) {
		p = put_text(p, ",\"tid\":", 7);
		p = put_dec(p, ev->tid);
	}
	w->len = (size_t)(p - w->buf);
	if (ev->comm && write_string_field(w, "comm", ev->comm, strings, e))
		return -1;
	if (reserve(w, 64, e))
		return -1;
	p = put_text(w->buf + w->len, ",\"e\":\"", 6);
	p = put_text(p, name, strlen(name));
	*p++ = '"';
	w->len = (size_t)(p - w->buf);
	if (write_fields(w, ev, strings, e))
		return -1;
	return write_raw(w, "}\n", 2, e);
}

int jsonl_write_events(struct jsonl_writer *w, const struct event *ev, size_t n, const struct intern *strings,
		       struct error *e)
{
	struct error why = {""};
	size_t i;

	for (i = 0; i < n; i++) {
		if (event_check(&ev[i], &why))
			return error_set(e, "%s: writing: %s", w->path, why.text);
		if (write_event(w, &ev[i], strings, e))
			return -1;
	}
	w->events += n;
	return 0;
}

int jsonl_writer_close(struct jsonl_writer *w, bool keep, struct error *e)
{
	int rc = 0;

	if (!w)
		return 0;
	if (keep)
		rc = settle_count(w, e) || flush(w, e) ? -1 : 0;
	if (close(w->fd) && !rc && keep)
		rc = error_errno(e, "%s: closing", w->path);
	if ((rc || !keep) && w->regular)
		unlink(w->path);
	free(w->path);
	free(w);
	return rc;
}
