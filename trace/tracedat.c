/*
 * The source for trace.dat, the file of trace-cmd, versions 6 and 7 (see trace-cmd.dat.v6(5) and v7(5)).
 *
 * The container is read here and not by libtracecmd: that library runs off the end of truncated files, takes damaged
 * ones for whole, and spends far longer on the kernel's symbol table, which nothing here needs, than all the events
 * take. libtraceevent still explains the event formats. Only formats of events that the decoder knows are parsed.
 *
 * Every length in the file is checked against what encloses it before it is used, and nothing is mapped: a file that
 * shrinks while it is read is an error, not a signal.
 *
 * Shape: the file has metadata and buffers (the top one and the recorded instances), each buffer one run of
 * sub-buffers for each CPU. Each buffer is one capture. A CPU's data comes through a window of a few sub-buffers, or one
 * compressed chunk, so memory does not depend on the size of the file; a heap merges the CPUs by time.
 *
 * Damage ends the capture at the record where it is met, with an error: all that came before is whole for every CPU,
 * since CPUs are merged by time.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event-parse.h>
#include <zstd.h>

#include "decoder.h"
#include "subbuf.h"

#define MAX_FORMAT (1u << 20)	 /* of one event's format text */
#define MAX_SECTION (256u << 20) /* of a section that is held in memory */
#define MAX_CHUNK (64u << 20)	 /* of compressed records */
#define MAX_CPUS 65536u
#define MAX_BUFFERS 4096u
#define MAX_OPTION_SECTIONS 1024u
#define MAX_OPTION (16u << 20)
#define WINDOWS_TOTAL (8u << 20) /* for all CPUs together */
#define WINDOW_MAX (256u << 10)
#define STEP_EVENTS (DECODER_MAX_EVENTS + 1) /* that one record can give: a loss comes before it */

enum option { OPTION_DONE, OPTION_CPUSTAT = 2, OPTION_BUFFER, OPTION_CLOCK, OPTION_UNAME, OPTION_CPUCOUNT = 8 };
enum { SECTION_OPTIONS = 0, SECTION_HEADER = 16, SECTION_FORMATS = 18, SECTION_CMDLINES = 21, OPTION_TEXT = 22 };
enum { SECTION_COMPRESSED = 1 };

/* Metadata being read: a window of the file that moves, or a whole section in memory. */
struct cursor {
	int fd;	       /* -1: all is in buf */
	uint64_t base; /* file offset of buf[0]; in memory that of the section, for messages */
	uint64_t end;  /* file offset where it ends */
	uint8_t *buf;
	size_t pos, len, cap;
	bool bigendian;
	const char *path, *what; /* for messages */
	struct error *e;
};

struct cpu_data {
	uint32_t cpu;
	uint64_t offset, size; /* in the file */
	uint64_t stat_lost;    /* what per_cpu/cpuN/stats says */
};

struct buffer {
	char *name, *clock;
	uint32_t page_size; /* 0: the file's */
	bool compressed;
	struct cpu_data *cpu;
	uint32_t cpus;
	uint32_t cpu_count; /* version 6: how many; 0: as many as the file */
	uint64_t offset;    /* version 6: where its table of CPUs is; 0: the top buffer */
	uint64_t *stat;	    /* losses by CPU, until the CPUs are known */
	uint32_t stats;
};

/* One CPU of the present capture while it is read. */
struct cpu_reader {
	const struct cpu_data *data;
	uint64_t pos, end;	/* what is still to be read of the file */
	uint64_t chunks;	/* compressed ones left */
	uint8_t *buf, *packed;	/* sub-buffers; a compressed chunk */
	size_t cap, packed_cap; /* of both */
	size_t len, next;	/* bytes in buf; of the sub-buffer after this one */
	uint64_t buf_offset;	/* in the file, of buf or of the chunk it came from */
	struct subbuf sb;
	bool loaded;
	int64_t lost;	    /* records lost before the next one */
	uint64_t lost_stat; /* lost according to the statistics, place unknown */
	bool has_last;
	uint64_t last_t;
	struct tep_record rec;
};

struct tracedat {
	struct source source;
	int fd;
	uint64_t size;
	bool bigendian;
	unsigned version, long_size;
	uint32_t page_size;
	char *compression;
	char *host, *kernel, *clock, *label;
	struct tep_handle *tep;
	char *header_page;
	size_t header_page_len;
	struct buffer *buffer;
	uint32_t buffers;
	bool has_text;

	/* the present capture */
	uint32_t next_buffer, captures;
	const struct buffer *current;
	struct subbuf_format fmt;
	struct decoder *decoder;
	struct cpu_reader *reader;
	uint32_t readers;
	struct cpu_reader **heap; /* by time of the next record */
	uint32_t heap_len;
	struct event spill[STEP_EVENTS];
	unsigned spilled, spill_pos;
	uint32_t cause; /* strings ids */
	uint32_t cause_stats;
	uint64_t last_t;
	bool stats_pending; /* losses that only the statistics know of are to be told */
	bool failed;
	struct error failure; /* to be told once the events before it are out */
	_Atomic uint64_t bytes_done;
	uint64_t bytes_total;
};

/* --- cursor */

static int cursor_error(struct cursor *c, const char *what)
{
	return error_set(c->e, "%s: %s at offset %" PRIu64 ": %s", c->path, c->what, c->base + c->pos, what);
}

static int cursor_cut(struct cursor *c)
{
	if (c->fd < 0)
		return cursor_error(c, "the section ends in the middle of it; the file is damaged");
	return error_set(c->e,
			 "%s: %s at offset %" PRIu64 ": the file ends at %" PRIu64
			 "; it is truncated: record again or copy it again",
			 c->path, c->what, c->base + c->pos, c->end);
}

static ssize_t pread_full(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Makes n bytes at the position available. Where they are, or NULL and the error. */
static const uint8_t *cursor_need(struct cursor *c, size_t n)
{
	size_t want;
	ssize_t got;
	uint8_t *grown;

	if (c->len - c->pos >= n)
		return c->buf + c->pos;
	if (c->fd < 0 || n > c->end - c->base - c->pos) {
		cursor_cut(c);
		return NULL;
	}
	c->base += c->pos;
	c->pos = c->len = 0;
	want = n > 65536 ? n : 65536;
	if (want > c->end - c->base)
		want = c->end - c->base;
	if (want > c->cap) {
		grown = realloc(c->buf, want);
		if (!grown) {
			cursor_error(c, "out of memory");
			return NULL;
		}
		c->buf = grown;
		c->cap = want;
	}
	got = pread_full(c->fd, c->buf, want, c->base);
	if (got < 0) {
		error_errno(c->e, "%s: reading at offset %" PRIu64, c->path, c->base);
		return NULL;
	}
	c->len = (size_t)got;
	if (c->len < n) {
		c->end = c->base + c->len;
		cursor_cut(c);
		return NULL;
	}
	return c->buf;
}

static const uint8_t *cursor_take(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_need(c, n);

	if (p)
		c->pos += n;
	return p;
}

static int cursor_skip(struct cursor *c, uint64_t n)
{
	if (n <= c->len - c->pos) {
		c->pos += n;
		return 0;
	}
	if (c->fd < 0 || n > c->end - c->base - c->pos)
		return cursor_cut(c);
	c->base += c->pos + n;
	c->pos = c->len = 0;
	return 0;
}

static int cursor_number(struct cursor *c, unsigned size, uint64_t *out)
{
	const uint8_t *p = cursor_take(c, size);
	unsigned i;

	if (!p)
		return -1;
	*out = 0;
	for (i = 0; i < size; i++)
		*out |= (uint64_t)p[i] << 8 * (c->bigendian ? size - 1 - i : i);
	return 0;
}

static int cursor_u32(struct cursor *c, uint32_t *out)
{
	uint64_t v;

	if (cursor_number(c, 4, &v))
		return -1;
	*out = (uint32_t)v;
	return 0;
}

/* A string that ends with NUL, at most max bytes long: valid until the cursor is used again. NULL and the error. */
static const char *cursor_string(struct cursor *c, size_t max)
{
	size_t n = 0;
	const uint8_t *p;

	do {
		if (n > max) {
			cursor_error(c, "a string without end; the file is damaged");
			return NULL;
		}
		p = cursor_need(c, ++n);
		if (!p)
			return NULL;
	} while (p[n - 1]);
	c->pos += n;
	return (const char *)p;
}

static int cursor_expect(struct cursor *c, const char *bytes, size_t len)
{
	const uint8_t *p = cursor_need(c, len);

	if (!p)
		return -1;
	if (memcmp(p, bytes, len))
		return error_set(c->e, "%s: %s at offset %" PRIu64 ": \"%s\" is not there; the file is damaged",
				 c->path, c->what, c->base + c->pos, bytes);
	c->pos += len;
	return 0;
}

static struct cursor cursor_at(struct tracedat *td, uint64_t offset, const char *what, struct error *e)
{
	return (struct cursor){.fd = td->fd,
			       .base = offset,
			       .end = td->size,
			       .bigendian = td->bigendian,
			       .path = td->source.path,
			       .what = what,
			       .e = e};
}

/* --- metadata, the parts that both versions have */

static int read_header_page(struct tracedat *td, struct cursor *c)
{
	const uint8_t *p;
	uint64_t len;

	c->what = "header_page";
	if (cursor_expect(c, "header_page", 12) || cursor_number(c, 8, &len))
		return -1;
	if (len > 65536)
		return cursor_error(c, "more than 64 KiB; the file is damaged");
	p = cursor_take(c, len);
	if (!p)
		return -1;
	free(td->header_page);
	td->header_page = malloc(len + 1);
	if (!td->header_page)
		return cursor_error(c, "out of memory");
	memcpy(td->header_page, p, len);
	td->header_page_len = len;
	c->what = "header_event";
	if (cursor_expect(c, "header_event", 13) || cursor_number(c, 8, &len))
		return -1;
	return cursor_skip(c, len);
}

/* "KEY:NUMBER;" after blanks. What follows it, or NULL. */
static const char *format_number(const char *p, const char *end, const char *key)
{
	size_t len = strlen(key), digits = 0;

	while (p < end && (*p == '\t' || *p == ' '))
		p++;
	if ((size_t)(end - p) < len || memcmp(p, key, len))
		return NULL;
	for (p += len; p < end && *p >= '0' && *p <= '9'; p++)
		digits++;
	return digits && digits < 6 && p < end && *p == ';' ? p + 1 : NULL;
}

/* "field:TYPE NAME; offset:N; size:N; signed:N;", the last being optional. */
static bool format_line_ok(const char *p, const char *end)
{
	static const char field[] = "\tfield:";
	const char *semicolon, *q;

	if ((size_t)(end - p) < sizeof(field) - 1 || memcmp(p, field, sizeof(field) - 1))
		return false;
	p += sizeof(field) - 1;
	semicolon = memchr(p, ';', (size_t)(end - p));
	if (!semicolon)
		return false;
	for (q = p; q < semicolon; q++) {
		bool word = (*q >= 'a' && *q <= 'z') || (*q >= 'A' && *q <= 'Z') || (*q >= '0' && *q <= '9') ||
			    *q == '_' || *q == ' ';

		if (!word && *q != '*' && !(*q == '[' && memchr(q, ']', (size_t)(semicolon - q))) &&
		    !(*q == ']' && memchr(p, '[', (size_t)(q - p))))
			return false;
	}
	p = format_number(semicolon + 1, end, "offset:");
	p = p ? format_number(p, end, "size:") : NULL;
	if (p && p != end)
		p = format_number(p, end, "signed:");
	return p == end;
}

/*
 * Whether a format text up to its "print fmt" looks as the kernel writes it. libtraceevent leaks and worse on some that
 * do not, so it never sees those.
 */
static bool format_ok(const char *p, const char *end)
{
	static const char *const head[] = {"name: ", "ID: ", "format:"};
	const char *eol;
	size_t line, len;

	for (line = 0; p < end; line++, p = eol + (eol < end)) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		if (line < 3) {
			len = strlen(head[line]);
			if ((size_t)(eol - p) < len || memcmp(p, head[line], len))
				return false;
			for (p += len; line == 1 && p < eol; p++)
				if (*p < '0' || *p > '9' || eol - p > 6)
					return false;
		} else if (p != eol && !format_line_ok(p, eol)) {
			return false;
		}
	}
	return line > 3;
}

/*
 * Gives libtraceevent one format text, if its name is one of the decoder's. What tells how to print the event is left
 * out: nobody prints it, and it is by far the hardest part to parse.
 */
static int add_format(struct tracedat *td, struct cursor *c, const char *system, const char *text, size_t len)
{
	static const char no_print[] = "\nprint fmt: \"\"\n";
	const char *eol = memchr(text, '\n', len), *print = memmem(text, len, "\nprint fmt:", 11);
	size_t keep = print ? (size_t)(print - text) : len;
	char *copy;
	int ret = 0;

	if (len < 6 || memcmp(text, "name: ", 6) || !eol)
		return cursor_error(c, "an event format without a name; the file is damaged");
	if (raw_kind_by_name(text + 6, (size_t)(eol - text) - 6) == RAW_OTHER)
		return 0;
	if (!format_ok(text, text + keep))
		return error_set(c->e, "%s: %s at offset %" PRIu64 ": the format of %s/%.*s is damaged", c->path,
				 c->what, c->base + c->pos, system, (int)(eol - text) - 6, text + 6);
	copy = malloc(keep + sizeof(no_print));
	if (!copy)
		return cursor_error(c, "out of memory");
	memcpy(copy, text, keep);
	memcpy(copy + keep, no_print, sizeof(no_print));
	if (tep_parse_event(td->tep, copy, keep + sizeof(no_print) - 1, system) != TEP_ERRNO__SUCCESS)
		ret = error_set(c->e, "%s: %s at offset %" PRIu64 ": the format of %s/%.*s cannot be parsed", c->path,
				c->what, c->base + c->pos, system, (int)(eol - text) - 6, text + 6);
	free(copy);
	return ret;
}

static int read_one_format(struct tracedat *td, struct cursor *c, const char *system)
{
	const uint8_t *p;
	uint64_t len;

	if (cursor_number(c, 8, &len))
		return -1;
	if (len > MAX_FORMAT)
		return cursor_error(c, "an event format of more than 1 MiB; the file is damaged");
	p = cursor_take(c, len);
	if (!p)
		return -1;
	return system ? add_format(td, c, system, (const char *)p, len) : 0;
}

/* ftrace's own events: function traces, prints; none of ours. */
static int skip_ftrace_formats(struct tracedat *td, struct cursor *c)
{
	uint32_t n;

	c->what = "ftrace event formats";
	if (cursor_u32(c, &n))
		return -1;
	while (n--)
		if (read_one_format(td, c, NULL))
			return -1;
	return 0;
}

static int read_formats(struct tracedat *td, struct cursor *c)
{
	char system[256];
	uint32_t systems, n;
	const char *name;

	c->what = "event formats";
	if (cursor_u32(c, &systems))
		return -1;
	while (systems--) {
		name = cursor_string(c, sizeof(system) - 1);
		if (!name)
			return -1;
		strcpy(system, name); /* at most 255 bytes: cursor_string() */
		if (cursor_u32(c, &n))
			return -1;
		while (n--)
			if (read_one_format(td, c, system))
				return -1;
	}
	return 0;
}

/* Lines "PID NAME". */
static int read_cmdlines(struct tracedat *td, struct cursor *c)
{
	const char *p, *end, *eol, *space;
	char comm[64];
	uint64_t len;
	char *stop;
	long pid;

	c->what = "command names";
	if (cursor_number(c, 8, &len))
		return -1;
	if (len > MAX_SECTION)
		return cursor_error(c, "more than 256 MiB; the file is damaged");
	p = (const char *)cursor_take(c, len);
	if (!p)
		return -1;
	for (end = p + len; p < end && *p; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		space = memchr(p, ' ', (size_t)(eol - p));
		pid = space ? strtol(p, &stop, 10) : -1;
		if (pid < 0 || pid > INT32_MAX || stop != space)
			return cursor_error(c, "a line that is not a pid and a name; the file is damaged");
		snprintf(comm, sizeof(comm), "%.*s", (int)(eol - space - 1), space + 1);
		tep_register_comm(td->tep, comm, (int)pid); /* refuses a pid that it has: fine */
	}
	return 0;
}

/* --- options */

/* A buffer is added, and becomes the one that following options belong to. NULL and the error. */
static struct buffer *add_buffer(struct tracedat *td, struct cursor *c, const char *name)
{
	struct buffer *grown, *b;

	if (td->buffers >= MAX_BUFFERS) {
		cursor_error(c, "more than 4096 buffers; the file is damaged");
		return NULL;
	}
	grown = realloc(td->buffer, (td->buffers + 1) * sizeof(*grown));
	if (!grown)
		goto fail;
	td->buffer = grown;
	b = &td->buffer[td->buffers];
	*b = (struct buffer){.name = strdup(name)};
	if (!b->name)
		goto fail;
	td->buffers++;
	return b;
fail:
	cursor_error(c, "out of memory");
	return NULL;
}

static struct buffer *find_buffer(struct tracedat *td, const char *name)
{
	uint32_t i;

	for (i = 0; i < td->buffers; i++)
		if (!strcmp(td->buffer[i].name, name))
			return &td->buffer[i];
	return NULL;
}

static int set_string(struct cursor *c, char **to, const char *from, size_t len)
{
	char *copy = strndup(from, len);

	if (!copy)
		return cursor_error(c, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

/* "local global [mono] boot": the one in brackets. */
static int read_clock(struct tracedat *td, struct cursor *c, const char *text)
{
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	return close ? set_string(c, &td->clock, open + 1, (size_t)(close - open - 1)) : 0;
}

/* "Linux HOST RELEASE MACHINE" */
static int read_uname(struct tracedat *td, struct cursor *c, const char *text)
{
	const char *host = strchr(text, ' '), *release = host ? strchr(host + 1, ' ') : NULL;

	if (!release)
		return 0;
	if (set_string(c, &td->host, host + 1, (size_t)(release - host - 1)))
		return -1;
	return set_string(c, &td->kernel, release + 1, strcspn(release + 1, " \n"));
}

static uint64_t stat_number(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoull(p + strlen(key), NULL, 10) : 0;
}

/*
 * per_cpu/cpuN/stats, and before the first CPU of an instance a text "Buffer: NAME". index says which buffer it belongs
 * to: as yet only a name, since in version 7 buffers are told later.
 */
static int read_cpustat(struct tracedat *td, struct cursor *c, const char *text, uint32_t *index)
{
	struct buffer *b = &td->buffer[*index];
	const char *name = strstr(text, "Buffer: ");
	char copy[256];
	uint64_t cpu, lost;
	uint64_t *grown;

	if (name) {
		snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(name + 8, "\n"), name + 8);
		b = find_buffer(td, copy);
		if (!b)
			b = add_buffer(td, c, copy);
		*index = b ? (uint32_t)(b - td->buffer) : 0;
		return b ? 0 : -1;
	}
	cpu = stat_number(text, "CPU: ");
	lost = stat_number(text, "\noverrun: ") + stat_number(text, "commit overrun: ") +
	       stat_number(text, "dropped events: ");
	if (!lost || strncmp(text, "CPU: ", 5))
		return 0;
	if (cpu >= MAX_CPUS)
		return cursor_error(c, "statistics of a CPU above 65535; the file is damaged");
	if (cpu >= b->stats) {
		grown = realloc(b->stat, (cpu + 1) * sizeof(*grown));
		if (!grown)
			return cursor_error(c, "out of memory");
		memset(grown + b->stats, 0, (cpu + 1 - b->stats) * sizeof(*grown));
		b->stat = grown;
		b->stats = (uint32_t)cpu + 1;
	}
	b->stat[cpu] += lost;
	return 0;
}

/* A CPU's place in the file. Whether the data goes on to its end is seen when it is read. */
static int add_cpu(struct cursor *c, struct buffer *b, uint32_t cpu, uint64_t offset, uint64_t size)
{
	if (cpu >= MAX_CPUS || offset > INT64_MAX || size > INT64_MAX - offset)
		return cursor_error(c, "a CPU that cannot be; the file is damaged");
	b->cpu[b->cpus++] = (struct cpu_data){.cpu = cpu, .offset = offset, .size = size};
	return 0;
}

static int alloc_cpus(struct cursor *c, struct buffer *b, uint64_t n, uint64_t bytes_each)
{
	uint64_t left = c->end - c->base - c->pos;

	if (n > MAX_CPUS || n * bytes_each > left)
		return cursor_error(c, "more CPUs than there is room for; the file is damaged");
	free(b->cpu);
	b->cpus = 0;
	b->cpu = calloc(n ? n : 1, sizeof(*b->cpu));
	return b->cpu ? 0 : cursor_error(c, "out of memory");
}

struct section {
	uint32_t id, flags;
	uint64_t size, offset; /* of what follows the header */
};

static int read_section_header(struct tracedat *td, struct cursor *c, struct section *s)
{
	uint64_t id, flags;

	if (cursor_number(c, 2, &id) || cursor_number(c, 2, &flags) || cursor_skip(c, 4) || cursor_number(c, 8, &s->size))
		return -1;
	s->id = (uint32_t)id;
	s->flags = (uint32_t)flags;
	s->offset = c->base + c->pos;
	if (s->size > td->size - s->offset)
		return error_set(c->e,
				 "%s: %s at offset %" PRIu64 " has %" PRIu64 " bytes, but the file ends at %" PRIu64
				 "; it is truncated",
				 c->path, c->what, s->offset, s->size, td->size);
	return 0;
}

/* Version 7: where the records of a buffer are. */
static int read_buffer_v7(struct tracedat *td, struct cursor *c)
{
	uint64_t section_offset, offset, size, id, flags;
	struct cursor at;
	struct buffer *b;
	const char *text;
	uint32_t n, cpu;
	int ret;

	if (cursor_number(c, 8, &section_offset) || !(text = cursor_string(c, 255)))
		return -1;
	b = find_buffer(td, text);
	if (!b)
		b = add_buffer(td, c, text);
	if (!b)
		return -1;
	text = cursor_string(c, 255);
	if (!text || set_string(c, &b->clock, text, strlen(text)))
		return -1;
	if (cursor_u32(c, &b->page_size) || cursor_u32(c, &n) || alloc_cpus(c, b, n, 20))
		return -1;
	while (n--)
		if (cursor_u32(c, &cpu) || cursor_number(c, 8, &offset) || cursor_number(c, 8, &size) ||
		    add_cpu(c, b, cpu, offset, size))
			return -1;
	at = cursor_at(td, section_offset, "section of records", c->e);
	if (section_offset > td->size)
		return cursor_cut(&at);
	ret = cursor_number(&at, 2, &id) || cursor_number(&at, 2, &flags);
	free(at.buf);
	if (ret)
		return -1;
	b->compressed = flags & SECTION_COMPRESSED;
	return 0;
}

/* Version 6: where the table of an instance's CPUs is. */
static int read_buffer_v6(struct tracedat *td, struct cursor *c, uint32_t *last)
{
	const char *name;
	struct buffer *b;
	uint64_t offset;

	if (cursor_number(c, 8, &offset) || !(name = cursor_string(c, 255)))
		return -1;
	b = find_buffer(td, name);
	if (!b)
		b = add_buffer(td, c, name);
	if (!b)
		return -1;
	b->offset = offset;
	*last = (uint32_t)(b - td->buffer);
	return 0;
}

static int option_text(struct cursor *c, size_t len, char **out)
{
	const uint8_t *p = cursor_take(c, len);

	*out = p ? strndup((const char *)p, len) : NULL;
	if (p && !*out)
		cursor_error(c, "out of memory");
	return *out ? 0 : -1;
}

struct option_state {
	uint32_t stats_of; /* index of the buffer whose statistics come next */
	uint32_t last;	   /* index of the instance told just before, 0: none */
	uint64_t section[SECTION_CMDLINES + 1];
	uint64_t next; /* version 7: the next section of options, 0: none */
};

/* One option with its data in a cursor of its own. */
static int read_option(struct tracedat *td, struct cursor *c, unsigned id, size_t len, struct option_state *st)
{
	char *text = NULL;
	uint32_t n;
	int ret;

	if (td->version >= 7 && id >= SECTION_HEADER && id <= SECTION_CMDLINES)
		return cursor_number(c, 8, &st->section[id]);
	switch (id) {
	case OPTION_DONE:
		return td->version >= 7 ? cursor_number(c, 8, &st->next) : 0;
	case OPTION_BUFFER:
		return td->version >= 7 ? read_buffer_v7(td, c) : read_buffer_v6(td, c, &st->last);
	case OPTION_CPUCOUNT:
		if (cursor_u32(c, &n))
			return -1;
		if (st->last)
			td->buffer[st->last].cpu_count = n;
		st->last = 0;
		return 0;
	case OPTION_TEXT:
		td->has_text = true;
		return 0;
	case OPTION_CPUSTAT:
	case OPTION_CLOCK:
	case OPTION_UNAME:
		if (option_text(c, len, &text))
			return -1;
		ret = id == OPTION_CPUSTAT ? read_cpustat(td, c, text, &st->stats_of) :
		      id == OPTION_CLOCK   ? read_clock(td, c, text) :
					     read_uname(td, c, text);
		free(text);
		return ret;
	default:
		return 0;
	}
}

/* Options up to DONE. */
static int read_options(struct tracedat *td, struct cursor *c, struct option_state *st)
{
	struct cursor in;
	const uint8_t *p;
	uint64_t id;
	uint32_t len;

	for (;;) {
		c->what = "options";
		if (cursor_number(c, 2, &id))
			return -1;
		if (id == OPTION_DONE && td->version < 7)
			return 0;
		if (cursor_u32(c, &len))
			return -1;
		if (len > MAX_OPTION)
			return cursor_error(c, "an option of more than 16 MiB; the file is damaged");
		p = cursor_take(c, len);
		if (!p)
			return -1;
		in = *c;
		in.fd = -1;
		in.base = c->base + c->pos - len;
		in.end = c->base + c->pos;
		in.buf = (uint8_t *)(uintptr_t)p;
		in.pos = 0;
		in.len = in.cap = len;
		if (read_option(td, &in, (unsigned)id, len, st))
			return -1;
		if (id == OPTION_DONE)
			return 0;
	}
}

/* --- version 6: one thing after the other */

static int read_cpu_table(struct tracedat *td, struct cursor *c, struct buffer *b, uint32_t n)
{
	uint64_t offset, size;
	uint32_t i;

	c->what = "table of CPUs";
	if (alloc_cpus(c, b, n, 16))
		return -1;
	for (i = 0; i < n; i++)
		if (cursor_number(c, 8, &offset) || cursor_number(c, 8, &size) || add_cpu(c, b, i, offset, size))
			return -1;
	b->page_size = td->page_size;
	return 0;
}

static int read_rest_v6(struct tracedat *td, struct cursor *c)
{
	struct option_state st = {0};
	uint32_t cpus, i;
	const uint8_t *p;

	c->what = "number of CPUs";
	if (cursor_u32(c, &cpus))
		return -1;
	c->what = "kind of data";
	p = cursor_need(c, 10);
	if (!p)
		return -1;
	if (!memcmp(p, "options  ", 10)) {
		c->pos += 10;
		if (read_options(td, c, &st))
			return -1;
		c->what = "kind of data";
		p = cursor_need(c, 10);
		if (!p)
			return -1;
	}
	if (!memcmp(p, "latency  ", 10)) {
		td->has_text = true;
		return 0;
	}
	if (cursor_expect(c, "flyrecord", 10) || read_cpu_table(td, c, &td->buffer[0], cpus))
		return -1;
	for (i = 1; i < td->buffers; i++) {
		struct buffer *b = &td->buffer[i];
		struct cursor at = cursor_at(td, b->offset, "buffer of an instance", c->e);
		int ret;

		if (!b->offset)
			continue; /* only statistics named it */
		if (b->offset > td->size)
			return cursor_cut(&at);
		ret = cursor_expect(&at, "flyrecord", 10) ||
		      read_cpu_table(td, &at, b, b->cpu_count ? b->cpu_count : cpus);
		free(at.buf);
		if (ret)
			return -1;
	}
	return 0;
}

static int read_v6(struct tracedat *td, struct cursor *c)
{
	uint32_t n;

	if (read_header_page(td, c) || skip_ftrace_formats(td, c) || read_formats(td, c))
		return -1;
	c->what = "kernel symbols";
	if (cursor_u32(c, &n) || cursor_skip(c, n))
		return -1;
	c->what = "printk formats";
	if (cursor_u32(c, &n) || cursor_skip(c, n))
		return -1;
	return read_cmdlines(td, c) || read_rest_v6(td, c) ? -1 : 0;
}

/* --- version 7: sections, found through options */

/* Unpacks len bytes into exactly size. 0, or -1 and the error (without the place). */
static int unpack(const struct tracedat *td, void *to, size_t size, const void *from, size_t len, struct error *e)
{
	size_t n;

	if (strcmp(td->compression, "zstd"))
		return error_set(e,
				 "compressed with \"%.16s\", which ioflush cannot read; trace-cmd convert --compression "
				 "none makes a file that it can",
				 td->compression);
	n = ZSTD_decompress(to, size, from, len);
	if (ZSTD_isError(n))
		return error_set(e, "cannot be decompressed (%s); the file is damaged", ZSTD_getErrorName(n));
	if (n != size)
		return error_set(e, "decompressed to %zu bytes in place of %zu; the file is damaged", n, size);
	return 0;
}

/* Turns the cursor at a compressed section's content into one over the unpacked bytes. */
static int unpack_section(struct tracedat *td, struct cursor *c, const struct section *s)
{
	struct error why = {""};
	uint32_t packed, size;
	const uint8_t *p;
	uint8_t *out;

	if (cursor_u32(c, &packed) || cursor_u32(c, &size))
		return -1;
	if (packed > s->size || size > MAX_SECTION)
		return cursor_error(c, "a compressed section of impossible size; the file is damaged");
	p = cursor_take(c, packed);
	if (!p)
		return -1;
	out = malloc(size ? size : 1);
	if (!out)
		return cursor_error(c, "out of memory");
	if (unpack(td, out, size, p, packed, &why)) {
		free(out);
		return error_set(c->e, "%s: %s at offset %" PRIu64 ": %s", c->path, c->what, s->offset, why.text);
	}
	free(c->buf);
	c->fd = -1;
	c->buf = out;
	c->pos = 0;
	c->len = c->cap = size;
	c->base = s->offset;
	c->end = s->offset + size;
	return 0;
}

static int read_section(struct tracedat *td, uint64_t offset, unsigned id, const char *what,
			int (*read)(struct tracedat *td, struct cursor *c), struct error *e)
{
	struct cursor c = cursor_at(td, offset, what, e);
	struct section s;
	int ret = -1;

	if (!offset)
		return error_set(e, "%s: has no %s; recording was not finished or the file is damaged", td->source.path,
				 what);
	if (offset > td->size)
		return cursor_cut(&c);
	if (read_section_header(td, &c, &s))
		goto out;
	if (s.id != id) {
		error_set(e, "%s: %s at offset %" PRIu64 ": section %u is there; the file is damaged", td->source.path,
			  what, offset, s.id);
		goto out;
	}
	if (s.flags & SECTION_COMPRESSED && unpack_section(td, &c, &s))
		goto out;
	if (!(s.flags & SECTION_COMPRESSED))
		c.end = s.offset + s.size;
	ret = read(td, &c);
out:
	free(c.buf);
	return ret;
}

static int read_option_sections(struct tracedat *td, uint64_t first, struct option_state *st, struct error *e)
{
	struct cursor c;
	struct section s;
	unsigned n = 0;
	int ret = 0;

	for (st->next = first; st->next && !ret;) {
		c = cursor_at(td, st->next, "options", e);
		if (st->next > td->size)
			return cursor_cut(&c);
		if (n++ == MAX_OPTION_SECTIONS)
			return cursor_error(&c, "more than 1024 sections of options; the file is damaged");
		ret = read_section_header(td, &c, &s);
		if (!ret && s.id != SECTION_OPTIONS)
			ret = cursor_error(&c, "no section of options is there; the file is damaged");
		if (!ret && s.flags & SECTION_COMPRESSED)
			ret = unpack_section(td, &c, &s);
		st->next = 0;
		if (!ret)
			ret = read_options(td, &c, st);
		free(c.buf);
	}
	return ret;
}

static int read_v7(struct tracedat *td, struct cursor *c)
{
	struct option_state st = {0};
	const char *name;
	uint64_t offset;

	c->what = "name of the compression";
	name = cursor_string(c, 255);
	if (!name || set_string(c, &td->compression, name, strlen(name)) || !cursor_string(c, 255))
		return -1;
	c->what = "place of the options";
	if (cursor_number(c, 8, &offset))
		return -1;
	if (!offset)
		return cursor_error(c, "there is none: recording was not finished");
	if (read_option_sections(td, offset, &st, c->e))
		return -1;
	if (read_section(td, st.section[SECTION_HEADER], SECTION_HEADER, "header_page", read_header_page, c->e) ||
	    read_section(td, st.section[SECTION_FORMATS], SECTION_FORMATS, "event formats", read_formats, c->e))
		return -1;
	if (!st.section[SECTION_CMDLINES])
		return 0;
	return read_section(td, st.section[SECTION_CMDLINES], SECTION_CMDLINES, "command names", read_cmdlines, c->e);
}

/* --- the head, and what is the same for all captures */

static int read_head(struct tracedat *td, struct cursor *c)
{
	const char *text;
	uint64_t v;

	if (cursor_expect(c, "\x17\x08\x44tracing", 10) || !(text = cursor_string(c, 16)))
		return -1;
	td->version = (unsigned)strtoul(text, NULL, 10);
	if (strcmp(text, "6") && strcmp(text, "7"))
		return error_set(c->e,
				 "%s: head at offset 10: a trace.dat of version %u; ioflush reads 6 and 7 (trace-cmd "
				 "convert makes them)",
				 c->path, td->version);
	if (cursor_number(c, 1, &v))
		return -1;
	if (v > 1)
		return cursor_error(c, "byte order is neither 0 nor 1; the file is damaged");
	td->bigendian = c->bigendian = v;
	if (cursor_number(c, 1, &v))
		return -1;
	td->long_size = (unsigned)v;
	if (v != 4 && v != 8)
		return cursor_error(c, "a long is neither 4 nor 8 bytes; the file is damaged");
	if (cursor_u32(c, &td->page_size))
		return -1;
	if (td->page_size < 256 || td->page_size > (16u << 20) || td->page_size & (td->page_size - 1))
		return cursor_error(c, "page size is no power of two from 256 to 16 Mi; the file is damaged");
	return 0;
}

static int set_up_tep(struct tracedat *td, struct cursor *c)
{
	td->tep = tep_alloc();
	if (!td->tep)
		return cursor_error(c, "out of memory");
	tep_set_loglevel(TEP_LOG_NONE); /* errors are ours to tell */
	tep_set_file_bigendian(td->tep, td->bigendian ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_local_bigendian(td->tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_long_size(td->tep, (int)td->long_size);
	tep_set_page_size(td->tep, (int)td->page_size);
	return 0;
}

/* Gives each CPU what its statistics say, and drops buffers without records beside ones that have some. */
static int settle_buffers(struct tracedat *td, struct error *e)
{
	bool any = false;
	uint32_t i, k, kept = 0;

	for (i = 0; i < td->buffers; i++) {
		struct buffer *b = &td->buffer[i];

		for (k = 0; k < b->cpus; k++) {
			if (b->cpu[k].cpu < b->stats)
				b->cpu[k].stat_lost = b->stat[b->cpu[k].cpu];
			any |= b->cpu[k].size != 0;
		}
	}
	if (td->has_text && !any)
		return error_set(e,
				 "%s: holds the text of a latency trace, not records; store that text in a file of its own "
				 "(trace-cmd report) and give that",
				 td->source.path);
	for (i = 0; i < td->buffers; i++) {
		struct buffer *b = &td->buffer[i];
		bool used = false;

		for (k = 0; k < b->cpus; k++)
			used |= b->cpu[k].size || b->cpu[k].stat_lost;
		if (!used && (any || kept)) {
			free(b->name);
			free(b->clock);
			free(b->cpu);
			free(b->stat);
			continue;
		}
		td->buffer[kept++] = *b;
	}
	td->buffers = kept;
	return 0;
}

static int read_metadata(struct tracedat *td, struct error *e)
{
	struct cursor c = cursor_at(td, 0, "head", e);
	int ret;

	ret = read_head(td, &c) || set_up_tep(td, &c) || !add_buffer(td, &c, "");
	if (!ret)
		ret = td->version == 6 ? read_v6(td, &c) : read_v7(td, &c);
	free(c.buf);
	if (ret)
		return -1;
	if (!tep_get_first_event(td->tep))
		return error_set(e,
				 "%s: has none of the events that ioflush reads; record with its probes, or the events were "
				 "not enabled",
				 td->source.path);
	return settle_buffers(td, e);
}

/* --- one CPU's records */

/* The error of the capture, with the CPU and the place. */
static int cpu_error(struct tracedat *td, const struct cpu_reader *r, uint64_t offset, const char *what, struct error *e)
{
	return error_set(e, "%s: CPU %u: sub-buffer at offset %" PRIu64 "%s: %s", td->source.path, r->data->cpu, offset,
			 td->current->compressed ? " (in the chunk compressed there)" : "", what);
}

static int cpu_cut(struct tracedat *td, const struct cpu_reader *r, uint64_t at, struct error *e)
{
	return error_set(e,
			 "%s: CPU %u: its records break off at offset %" PRIu64 ", where %" PRIu64
			 " more bytes should follow; the file is truncated",
			 td->source.path, r->data->cpu, at, r->end - r->pos);
}

static int grow(uint8_t **buf, size_t *cap, size_t want, struct error *e)
{
	uint8_t *grown;

	if (want <= *cap)
		return 0;
	grown = realloc(*buf, want);
	if (!grown)
		return error_set(e, "out of memory for %zu bytes of records", want);
	*buf = grown;
	*cap = want;
	return 0;
}

/* Fills the window with whole sub-buffers as they are. 1, 0: none are left, or -1. */
static int fill_plain(struct tracedat *td, struct cpu_reader *r, struct error *e)
{
	uint32_t page = td->fmt.size;
	size_t want = WINDOWS_TOTAL / (td->readers ? td->readers : 1);
	ssize_t n;

	if (r->pos == r->end)
		return 0;
	if (want > WINDOW_MAX)
		want = WINDOW_MAX;
	want = want < page ? page : want - want % page;
	if (want > r->end - r->pos)
		want = r->end - r->pos;
	if (grow(&r->buf, &r->cap, want, e))
		return -1;
	n = pread_full(td->fd, r->buf, want, r->pos);
	if (n < 0)
		return error_errno(e, "%s: reading at offset %" PRIu64, td->source.path, r->pos);
	if (n < (ssize_t)page)
		return cpu_cut(td, r, r->pos + (size_t)n, e);
	r->buf_offset = r->pos;
	r->len = (size_t)n - (size_t)n % page;
	r->next = 0;
	r->pos += r->len;
	return 1;
}

static uint32_t file_u32(const struct tracedat *td, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return td->bigendian == tep_is_bigendian() ? v : __builtin_bswap32(v);
}

/* Unpacks the next chunk. 1, 0: none are left, or -1. */
static int fill_chunk(struct tracedat *td, struct cpu_reader *r, struct error *e)
{
	struct error why = {""};
	uint8_t head[8];
	uint32_t packed, size;
	ssize_t n;

	if (!r->chunks)
		return 0;
	n = pread_full(td->fd, head, sizeof(head), r->pos);
	if (n < 0)
		return error_errno(e, "%s: reading at offset %" PRIu64, td->source.path, r->pos);
	if (n < 8)
		return cpu_cut(td, r, r->pos + (size_t)n, e);
	packed = file_u32(td, head);
	size = file_u32(td, head + 4);
	if (r->end - r->pos < 8 || packed > r->end - r->pos - 8)
		return cpu_error(td, r, r->pos, "the chunk goes past the data of its CPU; the file is damaged", e);
	if (!size || size > MAX_CHUNK || size % td->fmt.size || packed > MAX_CHUNK)
		return cpu_error(td, r, r->pos, "the chunk has an impossible size; the file is damaged", e);
	if (grow(&r->buf, &r->cap, size, e) || grow(&r->packed, &r->packed_cap, packed, e))
		return -1;
	n = pread_full(td->fd, r->packed, packed, r->pos + 8);
	if (n < 0)
		return error_errno(e, "%s: reading at offset %" PRIu64, td->source.path, r->pos + 8);
	if ((size_t)n < packed)
		return cpu_cut(td, r, r->pos + 8 + (size_t)n, e);
	if (unpack(td, r->buf, size, r->packed, packed, &why))
		return cpu_error(td, r, r->pos, why.text, e);
	r->buf_offset = r->pos;
	r->len = size;
	r->next = 0;
	r->pos += 8 + (uint64_t)packed;
	r->chunks--;
	return 1;
}

static int cpu_begin(struct tracedat *td, struct cpu_reader *r, const struct cpu_data *data, struct error *e)
{
	uint8_t head[4];
	ssize_t n;

	r->data = data;
	r->pos = data->offset;
	r->end = data->offset + data->size;
	r->len = r->next = 0;
	r->loaded = false;
	r->chunks = 0;
	if (!data->size || !td->current->compressed)
		return 0;
	n = pread_full(td->fd, head, sizeof(head), r->pos);
	if (n < 0)
		return error_errno(e, "%s: reading at offset %" PRIu64, td->source.path, r->pos);
	if (n < 4)
		return cpu_cut(td, r, r->pos + (size_t)n, e);
	if (data->size < 4)
		return cpu_error(td, r, r->pos, "there is no count of chunks; the file is damaged", e);
	r->chunks = file_u32(td, head);
	r->pos += 4;
	r->end += 4; /* trace-cmd's size of compressed data leaves this count out */
	if (r->chunks > (r->end - r->pos) / 8)
		return cpu_error(td, r, r->pos, "more chunks than there is room for; the file is damaged", e);
	return 0;
}

/* The next sub-buffer of a CPU. 1, 0: there is no more, or -1. */
static int next_subbuf(struct tracedat *td, struct cpu_reader *r, struct error *e)
{
	struct error why = {""};
	uint64_t before = r->pos, place;
	int ret;

	if (r->next == r->len) {
		ret = td->current->compressed ? fill_chunk(td, r, e) : fill_plain(td, r, e);
		if (ret <= 0)
			return ret;
		atomic_fetch_add_explicit(&td->bytes_done, r->pos - before, memory_order_relaxed);
	}
	place = td->current->compressed ? r->buf_offset : r->buf_offset + r->next;
	if (subbuf_load(&r->sb, &td->fmt, r->buf + r->next, &why))
		return cpu_error(td, r, place, why.text, e);
	r->next += td->fmt.size;
	return 1;
}

static uint64_t place_of(const struct tracedat *td, const struct cpu_reader *r)
{
	return td->current->compressed ? r->buf_offset : r->buf_offset + r->next - td->fmt.size;
}

/* The next record of a CPU, into r->rec. 1, 0: there is no more, or -1. */
static int next_record(struct tracedat *td, struct cpu_reader *r, struct error *e)
{
	struct error why;
	uint64_t before = r->rec.ts;
	bool first = !r->has_last;
	int ret;

	why.text[0] = '\0'; /* all 1 KiB of it zeroed would cost more than the record */
	for (;;) {
		if (!r->loaded) {
			ret = next_subbuf(td, r, e);
			if (ret <= 0)
				return ret;
			r->loaded = true;
			if (r->sb.lost > 0 && r->lost >= 0)
				r->lost += r->sb.lost;
			else if (r->sb.lost)
				r->lost = r->sb.lost;
		}
		ret = subbuf_next(&r->sb, &r->rec, &why);
		if (ret < 0)
			return cpu_error(td, r, place_of(td, r), why.text, e);
		if (ret)
			break;
		r->loaded = false;
	}
	r->rec.cpu = (int)r->data->cpu;
	r->has_last = true;
	if (!first && r->rec.ts < before)
		return error_set(e,
				 "%s: CPU %u: sub-buffer at offset %" PRIu64 ": record at byte %llu: its time %llu lies "
				 "before that of the record before it, %" PRIu64 "; the file is damaged",
				 td->source.path, r->data->cpu, place_of(td, r), r->rec.offset, r->rec.ts, before);
	return 1;
}

/*
 * What the CPU's statistics count as lost beyond what the sub-buffers tell. With overwriting off that is all there is,
 * and then nobody knows where: it is told at the start, so that no finding looks as if nothing was lost before it. Where
 * the sub-buffers tell of places without a number, the rest belongs there, and is not told twice.
 */
static int settle_stats(struct tracedat *td, struct cpu_reader *r, struct error *e)
{
	uint64_t known = 0, places = 0, done = atomic_load(&td->bytes_done);
	struct error ignored = {""}; /* damage is met again, and told, when the records before it are out */

	if (!r->data->stat_lost)
		return 0;
	while (next_subbuf(td, r, &ignored) > 0) {
		known += r->sb.lost > 0 ? (uint64_t)r->sb.lost : 0;
		places += r->sb.lost < 0;
	}
	atomic_store(&td->bytes_done, done);
	if (known < r->data->stat_lost && !places) {
		r->lost_stat = r->data->stat_lost - known;
		td->stats_pending = true;
	}
	return cpu_begin(td, r, r->data, e);
}

/* --- merging */

static bool heap_before(const struct cpu_reader *a, const struct cpu_reader *b)
{
	if (a->rec.ts != b->rec.ts)
		return a->rec.ts < b->rec.ts;
	return a->data->cpu < b->data->cpu;
}

static void heap_sift(struct tracedat *td, uint32_t i)
{
	struct cpu_reader *r = td->heap[i];
	uint32_t child;

	while ((child = 2 * i + 1) < td->heap_len) {
		if (child + 1 < td->heap_len && heap_before(td->heap[child + 1], td->heap[child]))
			child++;
		if (!heap_before(td->heap[child], r))
			break;
		td->heap[i] = td->heap[child];
		i = child;
	}
	td->heap[i] = r;
}

static void make_lost(struct tracedat *td, struct event *ev, const struct cpu_reader *r, uint64_t t, int64_t count,
		      uint32_t cause)
{
	memset(ev, 0, sizeof(*ev));
	ev->kind = EV_lost;
	ev->t = t;
	ev->cpu = r->data->cpu;
	ev->tid = EVENT_NO_TID;
	ev->lost.cause = cause;
	if (count > 0)
		ev->lost.count = (uint64_t)count;
	else
		ev->missing |= 1u << offsetof(struct event_lost, count) / sizeof(uint64_t);
	if (r->last_t)
		ev->lost.since = r->last_t;
	else
		ev->missing |= 1u << offsetof(struct event_lost, since) / sizeof(uint64_t);
	decoder_lost(td->decoder);
}

/* Losses that no record follows, then what the decoder held back: how many events, 0: none are left. */
static int drain(struct tracedat *td, struct event *out)
{
	uint32_t i;

	for (i = 0; i < td->readers; i++) {
		struct cpu_reader *r = &td->reader[i];

		if (!r->lost)
			continue;
		make_lost(td, out, r, td->last_t, r->lost, td->cause);
		r->lost = 0;
		return 1;
	}
	return decoder_finish(td->decoder, out);
}

/* Losses that the statistics alone know of come first of all. */
static int drain_stats(struct tracedat *td, struct event *out)
{
	uint32_t i;

	for (i = 0; i < td->readers; i++) {
		struct cpu_reader *r = &td->reader[i];

		if (!r->lost_stat)
			continue;
		make_lost(td, out, r, td->heap_len ? td->heap[0]->rec.ts : 0, (int64_t)r->lost_stat, td->cause_stats);
		r->lost_stat = 0;
		return 1;
	}
	return 0;
}

static int record_error(struct tracedat *td, const struct cpu_reader *r, const char *what, struct error *e)
{
	return error_set(e, "%s: CPU %u: sub-buffer at offset %" PRIu64 "%s: record at byte %llu: %s", td->source.path,
			 r->data->cpu, place_of(td, r),
			 td->current->compressed ? " (in the chunk compressed there)" : "", r->rec.offset, what);
}

/* The events of the next record of all: how many, 0: the capture is at its end (or failed). */
static int step(struct tracedat *td, struct event out[STEP_EVENTS])
{
	struct error why;
	struct cpu_reader *r;
	int n = 0, made;

	why.text[0] = '\0';
	while (!n && td->heap_len) {
		r = td->heap[0];
		td->last_t = r->rec.ts;
		if (r->lost) {
			make_lost(td, &out[n++], r, r->rec.ts, r->lost, td->cause);
			r->lost = 0;
		}
		made = decoder_record(td->decoder, td->tep, &r->rec, out + n, &why);
		if (made < 0) {
			td->failed = true;
			record_error(td, r, why.text, &td->failure);
			return n;
		}
		n += made;
		r->last_t = r->rec.ts;
		made = next_record(td, r, &td->failure);
		if (made < 0) {
			td->failed = true;
			return n;
		}
		if (!made)
			td->heap[0] = td->heap[--td->heap_len];
		if (td->heap_len)
			heap_sift(td, 0);
	}
	return n ? n : drain(td, out);
}

/* --- captures */

static void end_capture(struct tracedat *td)
{
	uint32_t i;

	for (i = 0; i < td->readers; i++) {
		free(td->reader[i].buf);
		free(td->reader[i].packed);
	}
	free(td->reader);
	free(td->heap);
	decoder_free(td->decoder);
	td->reader = NULL;
	td->heap = NULL;
	td->decoder = NULL;
	td->readers = td->heap_len = 0;
	td->spilled = td->spill_pos = 0;
	td->last_t = 0;
	td->stats_pending = false;
}

static int begin_readers(struct tracedat *td, const struct buffer *b, struct error *e)
{
	uint32_t i;
	int ret;

	td->reader = calloc(b->cpus ? b->cpus : 1, sizeof(*td->reader));
	td->heap = calloc(b->cpus ? b->cpus : 1, sizeof(*td->heap));
	if (!td->reader || !td->heap)
		return error_set(e, "out of memory for %u CPUs", b->cpus);
	td->readers = b->cpus;
	for (i = 0; i < b->cpus; i++) {
		struct cpu_reader *r = &td->reader[i];

		if (cpu_begin(td, r, &b->cpu[i], e) || settle_stats(td, r, e))
			return -1;
		ret = next_record(td, r, e);
		if (ret < 0)
			return -1;
		if (ret)
			td->heap[td->heap_len++] = r;
	}
	for (i = td->heap_len / 2; i-- > 0;)
		heap_sift(td, i);
	return 0;
}

static int begin_capture(struct tracedat *td, const struct buffer *b, struct error *e)
{
	struct error why = {""};

	td->current = b;
	if (subbuf_format(&td->fmt, td->header_page, td->header_page_len, b->page_size, td->bigendian, &why))
		return error_set(e, "%s: %s; the file is damaged", td->source.path, why.text);
	td->decoder = decoder_new(td->source.strings, NULL);
	if (!td->decoder)
		return error_set(e, "out of memory");
	return begin_readers(td, b, e);
}

/* How a capture is called: the path, and the instance if it is one. */
static int set_label(struct tracedat *td, const struct buffer *b, struct error *e)
{
	free(td->label);
	if (asprintf(&td->label, b->name[0] ? "%s:%s" : "%s", td->source.path, b->name) >= 0)
		return 0;
	td->label = NULL;
	return error_set(e, "out of memory");
}

static int tracedat_capture(struct source *s, struct capture *c, struct error *e)
{
	struct tracedat *td = (struct tracedat *)s;
	const struct buffer *b;

	if (td->failed)
		return error_set(e, "%s", td->failure.text);
	end_capture(td);
	if (td->next_buffer == td->buffers)
		return 0;
	b = &td->buffer[td->next_buffer++];
	if (set_label(td, b, e))
		return -1;
	/* Damage at the very start is told by the first read, as any other that ends a capture. */
	if (begin_capture(td, b, &td->failure))
		td->failed = true;
	*c = (struct capture){
		.id = ++td->captures,
		.source = td->label,
		.format = "trace.dat",
		.host = td->host ? td->host : "",
		.kernel = td->kernel ? td->kernel : "",
		.clock = b->clock && b->clock[0] ? b->clock :
			 td->clock		 ? td->clock :
						   "",
		.probes = "",
		.state = "complete",
		.note = "",
	};
	return 1;
}

static int more(struct tracedat *td, struct event out[STEP_EVENTS])
{
	int n = 0;

	if (td->failed || !td->decoder)
		return 0;
	if (td->stats_pending) {
		n = drain_stats(td, out);
		td->stats_pending = n;
	}
	return n ? n : step(td, out);
}

static ssize_t tracedat_read(struct source *s, struct event *ev, size_t max, struct error *e)
{
	struct tracedat *td = (struct tracedat *)s;
	bool direct;
	size_t n = 0;
	int got;

	while (n < max) {
		if (td->spill_pos < td->spilled) {
			ev[n++] = td->spill[td->spill_pos++];
			continue;
		}
		/* Where a record's events may not all fit, they wait in the spill. */
		direct = max - n >= STEP_EVENTS;
		got = more(td, direct ? ev + n : td->spill);
		if (!got)
			break;
		td->spilled = direct ? 0 : (unsigned)got;
		td->spill_pos = 0;
		n += direct ? (unsigned)got : 0;
	}
	if (!n && td->failed)
		return error_set(e, "%s", td->failure.text);
	return (ssize_t)n;
}

static double tracedat_progress(struct source *s)
{
	struct tracedat *td = (struct tracedat *)s;

	if (!td->bytes_total)
		return -1;
	return (double)atomic_load_explicit(&td->bytes_done, memory_order_relaxed) / (double)td->bytes_total;
}

static void tracedat_close(struct source *s)
{
	struct tracedat *td = (struct tracedat *)s;
	uint32_t i;

	end_capture(td);
	for (i = 0; i < td->buffers; i++) {
		free(td->buffer[i].name);
		free(td->buffer[i].clock);
		free(td->buffer[i].cpu);
		free(td->buffer[i].stat);
	}
	free(td->buffer);
	free(td->header_page);
	free(td->compression);
	free(td->host);
	free(td->kernel);
	free(td->clock);
	free(td->label);
	tep_free(td->tep);
	strings_free(td->source.strings);
	free(td->source.path);
	close(td->fd);
	free(td);
}

static const struct source_ops tracedat_ops = {
	.capture = tracedat_capture,
	.read = tracedat_read,
	.progress = tracedat_progress,
	.close = tracedat_close,
};

/* --- opening */

static int write_full(int fd, const char *buf, size_t len)
{
	ssize_t n;

	for (; len; buf += n, len -= (size_t)n) {
		n = write(fd, buf, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -1;
	}
	return 0;
}

/*
 * The metadata of a trace.dat may lie at its end and the CPUs one after the other, so it cannot be decoded as it comes
 * through a pipe: it is stored first, in a file without a name that vanishes with us. The descriptor of that file, or -1.
 */
static int spool(const struct source_input *in, struct error *e)
{
	const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	char *name = NULL, buf[65536];
	ssize_t n;
	int fd = -1;

	if (asprintf(&name, "%s/ioflush-XXXXXX", dir) < 0)
		return error_set(e, "out of memory");
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0) {
		error_errno(e, "%s: making a temporary file for %s (set TMPDIR to a folder with room)", name, in->path);
		goto fail;
	}
	unlink(name);
	if (in->head_len && write_full(fd, in->head, in->head_len))
		goto fail_write;
	for (;;) {
		n = read(in->fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_errno(e, "%s: reading", in->path);
			goto fail;
		}
		if (!n)
			break;
		if (write_full(fd, buf, (size_t)n))
			goto fail_write;
	}
	free(name);
	return fd;
fail_write:
	error_errno(e, "%s: writing a temporary copy of %s (set TMPDIR to a folder with room)", name, in->path);
fail:
	if (fd >= 0)
		close(fd);
	free(name);
	return -1;
}

/* A descriptor that can seek, in place of in->fd, which is closed if another is needed. */
static int seekable_fd(const struct source_input *in, struct error *e)
{
	int fd;

	if (lseek(in->fd, 0, SEEK_CUR) >= 0)
		return in->fd;
	fd = spool(in, e);
	close(in->fd);
	return fd;
}

int tracedat_open(struct source **out, const struct source_input *in, struct error *e)
{
	struct tracedat *td = calloc(1, sizeof(*td));
	struct stat st;
	uint32_t i, k;

	*out = NULL;
	if (!td) {
		close(in->fd);
		return error_set(e, "out of memory");
	}
	td->source.ops = &tracedat_ops;
	td->fd = seekable_fd(in, e);
	if (td->fd < 0) {
		free(td);
		return -1;
	}
	td->source.path = strdup(in->path);
	td->source.strings = strings_new();
	if (!td->source.path || !td->source.strings) {
		error_set(e, "out of memory");
		goto fail;
	}
	if (fstat(td->fd, &st)) {
		error_errno(e, "%s: asking for its size", in->path);
		goto fail;
	}
	td->size = (uint64_t)st.st_size;
	td->cause = strings_intern(td->source.strings, "ring buffer", 11);
	td->cause_stats = strings_intern(td->source.strings, "CPU statistics", 14);
	if (td->cause == UINT32_MAX || td->cause_stats == UINT32_MAX) {
		error_set(e, "out of memory");
		goto fail;
	}
	if (read_metadata(td, e))
		goto fail;
	for (i = 0; i < td->buffers; i++)
		for (k = 0; k < td->buffer[i].cpus; k++)
			td->bytes_total += td->buffer[i].cpu[k].size;
	*out = &td->source;
	return 0;
fail:
	tracedat_close(&td->source);
	return -1;
}
