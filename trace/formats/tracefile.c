/*
 * The container trace.dat; see tracefile.h. Version 6 is one thing after the other; version 7 has sections, which the
 * options tell the places of.
 */
#include "trace/formats/tracefile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "trace/decoder/cmdlines.h"
#include "trace/formats/cursor.h"

#define MAX_HEADER_PAGE 65536u
#define MAX_FORMAT (1u << 20) /* of one event's format text */
#define MAX_FORMATS 1024u     /* wanted ones: a few names, each in a few systems */
#define MAX_DECLARATION 256   /* of a field: libtraceevent's time for it grows with the square of its words */
#define FORMAT_MEMORY(len) (4096 + 8 * (uint64_t)(len)) /* at most, of libtraceevent and us */
#define COMM_MEMORY(len) (96 + (uint64_t)(len))		/* the same of a command's name */
#define MAX_CPUS 65536u
#define MAX_BUFFERS 4096u
#define MAX_OPTION_SECTIONS 1024u
#define MAX_OPTION (16u << 20)

enum option { OPTION_DONE, OPTION_CPUSTAT = 2, OPTION_BUFFER, OPTION_CLOCK, OPTION_UNAME, OPTION_CPUCOUNT = 8 };
enum { SECTION_OPTIONS = 0, SECTION_HEADER = 16, SECTION_FORMATS = 18, SECTION_CMDLINES = 21, OPTION_TEXT = 22 };
enum { SECTION_COMPRESSED = 1 };

static struct cursor cursor_at(const struct tracefile *tf, uint64_t offset, const char *what, struct error *e)
{
	return (struct cursor){.fd = tf->fd,
			       .base = offset,
			       .end = tf->size,
			       .budget = tf->budget,
			       .bigendian = tf->bigendian,
			       .path = tf->path,
			       .what = what,
			       .e = e};
}

/* --- metadata, the parts that both versions have */

static int read_header_page(struct tracefile *tf, struct cursor *c)
{
	const uint8_t *p;
	uint64_t len;

	c->what = "header_page";
	if (cursor_expect(c, "header_page", 12) || cursor_number(c, 8, &len))
		return -1;
	if (len > MAX_HEADER_PAGE)
		return cursor_error(c, "more than 64 KiB; the file is damaged");
	p = cursor_take(c, len);
	if (!p)
		return -1;
	budget_free(tf->budget, tf->header_page, tf->header_page_len + 1);
	tf->header_page = budget_alloc(tf->budget, len + 1);
	tf->header_page_len = len;
	if (!tf->header_page)
		return cursor_no_memory(c);
	memcpy(tf->header_page, p, len);
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

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/*
 * "TYPE NAME", with brackets behind or between them: a word, then at least one more word or '*', and one pair of
 * brackets at most. libtraceevent loses the memory of a field that has no name.
 */
static bool declaration_ok(const char *p, const char *end)
{
	enum { BEFORE, WITHIN, BEHIND } brackets = BEFORE;
	unsigned parts = 0;

	if (end - p > MAX_DECLARATION)
		return false;
	while (p < end) {
		if (is_word(*p)) {
			parts += brackets == BEFORE;
			while (p < end && is_word(*p))
				p++;
			continue;
		}
		if (*p == '*' && brackets == BEFORE && parts)
			parts++;
		else if (*p == '[' && brackets == BEFORE && parts > 1)
			brackets = WITHIN;
		else if (*p == ']' && brackets == WITHIN)
			brackets = BEHIND;
		else if (*p != ' ')
			return false;
		p++;
	}
	return parts > 1 && brackets != WITHIN;
}

/* "field:TYPE NAME; offset:N; size:N; signed:N;", the last being optional. */
static bool format_line_ok(const char *p, const char *end)
{
	static const char field[] = "\tfield:";
	const char *semicolon;

	if ((size_t)(end - p) < sizeof(field) - 1 || memcmp(p, field, sizeof(field) - 1))
		return false;
	p += sizeof(field) - 1;
	semicolon = memchr(p, ';', (size_t)(end - p));
	if (!semicolon)
		return false;
	if (!declaration_ok(p, semicolon))
		return false;
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
			p += len;
			if (line > 0 && (p == eol) != (line == 2)) /* a number, and nothing */
				return false;
			for (; line == 1 && p < eol; p++)
				if (*p < '0' || *p > '9' || eol - p > 6)
					return false;
		} else if (p != eol && !format_line_ok(p, eol)) {
			return false;
		}
	}
	return line > 3;
}

static int format_error(const struct cursor *c, const char *system, const char *name, size_t len, const char *what)
{
	return error_set(c->e, "%s: %s at offset %" PRIu64 ": the format of %s/%s %s", c->path, c->what,
			 cursor_offset(c), error_quote(system, strlen(system)).text, error_quote(name, len).text, what);
}

/*
 * Gives libtraceevent one format text, if its name is wanted. What tells how to print the event is left
 * out: nobody prints it, and it is by far the hardest part to parse.
 */
static int add_format(struct tracefile *tf, struct cursor *c, const char *system, const char *text, size_t len)
{
	static const char no_print[] = "\nprint fmt: \"\"\n";
	const char *eol = memchr(text, '\n', len), *print = memmem(text, len, "\nprint fmt:", 11);
	size_t keep = print ? (size_t)(print - text) : len, name_len;
	const char *name = text + 6;
	char *copy;
	int ret = 0;

	if (len < 6 || memcmp(text, "name: ", 6) || !eol)
		return cursor_error(c, "an event format without a name; the file is damaged");
	name_len = (size_t)(eol - name);
	if (!tf->wanted(name, name_len))
		return 0;
	if (!format_ok(text, text + keep))
		return format_error(c, system, name, name_len, "is damaged");
	if (tf->formats++ == MAX_FORMATS)
		return format_error(c, system, name, name_len, "is one too many: no kernel has over 1024 of these names");
	if (!budget_take(tf->budget, FORMAT_MEMORY(len)))
		return format_error(c, system, name, name_len, budget_failure(tf->budget));
	copy = malloc(keep + sizeof(no_print));
	if (!copy)
		return cursor_error(c, "out of memory");
	memcpy(copy, text, keep);
	memcpy(copy + keep, no_print, sizeof(no_print));
	if (tep_parse_event(tf->tep, copy, keep + sizeof(no_print) - 1, system) != TEP_ERRNO__SUCCESS)
		ret = format_error(c, system, name, name_len, "cannot be parsed");
	free(copy);
	return ret;
}

static int read_one_format(struct tracefile *tf, struct cursor *c, const char *system)
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
	return system ? add_format(tf, c, system, (const char *)p, len) : 0;
}

/* A count and that many formats. */
static int read_system(struct tracefile *tf, struct cursor *c, const char *system)
{
	uint32_t n;

	if (cursor_u32(c, &n))
		return -1;
	while (n--)
		if (read_one_format(tf, c, system))
			return -1;
	return 0;
}

/* ftrace's own events: function traces, prints; nobody wants them. */
static int skip_ftrace_formats(struct tracefile *tf, struct cursor *c)
{
	c->what = "ftrace event formats";
	return read_system(tf, c, NULL);
}

static int read_formats(struct tracefile *tf, struct cursor *c)
{
	char system[256];
	const char *name;
	uint32_t systems;

	c->what = "event formats";
	if (cursor_u32(c, &systems))
		return -1;
	while (systems--) {
		name = cursor_string(c, sizeof(system) - 1);
		if (!name)
			return -1;
		strcpy(system, name); /* at most 255 bytes: cursor_string() */
		if (read_system(tf, c, system))
			return -1;
	}
	return 0;
}

static int read_cmdlines(struct tracefile *tf, struct cursor *c)
{
	unsigned names = 0;
	const char *p, *at;
	uint64_t len, lines = 0;

	c->what = "command names";
	if (cursor_number(c, 8, &len))
		return -1;
	p = (const char *)cursor_take(c, len);
	if (!p)
		return -1;
	for (at = p; at && at < p + len; at = memchr(at, '\n', (size_t)(p + len - at)), at += at != NULL)
		lines++;
	if (!budget_take(tf->budget, lines * COMM_MEMORY(CMDLINES_MAX_NAME)))
		return cursor_no_memory(c);
	if (cmdlines_register(tf->tep, p, len, &names))
		return cursor_error(c, "a line that is not a pid and a name; the file is damaged");
	return 0;
}

/* --- options */

/* Room for one more in an array that doubles. 0, or -1: no memory for it. */
static int grow(struct budget *budget, void **array, uint32_t n, uint32_t *cap, size_t size)
{
	size_t want = *cap ? 2 * (size_t)*cap : 4;
	void *grown;

	if (n < *cap)
		return 0;
	grown = budget_resize(budget, *array, *cap * size, want * size);
	if (!grown)
		return -1;
	*array = grown;
	*cap = (uint32_t)want;
	return 0;
}

static int set_string(const struct cursor *c, char **to, const char *from, size_t len)
{
	char *copy = budget_alloc(c->budget, len + 1);

	if (!copy)
		return cursor_no_memory(c);
	memcpy(copy, from, len);
	budget_free(c->budget, *to, *to ? strlen(*to) + 1 : 0);
	*to = copy;
	return 0;
}

static struct tracefile_buffer *add_buffer(struct tracefile *tf, struct cursor *c, const char *name)
{
	struct tracefile_buffer *b;

	if (tf->buffers >= MAX_BUFFERS) {
		cursor_error(c, "more than 4096 buffers; the file is damaged");
		return NULL;
	}
	if (grow(tf->budget, (void **)&tf->buffer, tf->buffers, &tf->buffers_cap, sizeof(*b))) {
		cursor_no_memory(c);
		return NULL;
	}
	b = &tf->buffer[tf->buffers];
	*b = (struct tracefile_buffer){0};
	if (set_string(c, &b->name, name, strlen(name)))
		return NULL;
	tf->buffers++;
	return b;
}

/* The buffer of a name, added if there is none yet: options may tell of it in any order. NULL and the error. */
static struct tracefile_buffer *buffer_named(struct tracefile *tf, struct cursor *c, const char *name)
{
	uint32_t i;

	for (i = 0; i < tf->buffers; i++)
		if (!strcmp(tf->buffer[i].name, name))
			return &tf->buffer[i];
	return add_buffer(tf, c, name);
}

static void free_string(struct tracefile *tf, char *text)
{
	budget_free(tf->budget, text, text ? strlen(text) + 1 : 0);
}

static void buffer_clear(struct tracefile *tf, struct tracefile_buffer *b)
{
	free_string(tf, b->name);
	free_string(tf, b->clock);
	budget_free(tf->budget, b->cpu, b->cpus_cap * sizeof(*b->cpu));
	budget_free(tf->budget, b->stat, b->stats_cap * sizeof(*b->stat));
}

/* "local global [mono] boot": the one in brackets. */
static int read_clock(struct tracefile *tf, struct cursor *c, const char *text)
{
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	return close ? set_string(c, &tf->clock, open + 1, (size_t)(close - open - 1)) : 0;
}

/* "Linux HOST RELEASE MACHINE" */
static int read_uname(struct tracefile *tf, struct cursor *c, const char *text)
{
	const char *host = strchr(text, ' '), *release = host ? strchr(host + 1, ' ') : NULL;

	if (!release)
		return 0;
	if (set_string(c, &tf->host, host + 1, (size_t)(release - host - 1)))
		return -1;
	return set_string(c, &tf->kernel, release + 1, strcspn(release + 1, " \n"));
}

static uint64_t stat_number(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoull(p + strlen(key), NULL, 10) : 0;
}

static int add_stat(struct cursor *c, struct tracefile_buffer *b, uint64_t cpu, uint64_t lost)
{
	if (cpu >= MAX_CPUS)
		return cursor_error(c, "statistics of a CPU above 65535; the file is damaged");
	if (grow(c->budget, (void **)&b->stat, b->stats, &b->stats_cap, sizeof(*b->stat)))
		return cursor_no_memory(c);
	b->stat[b->stats++] = (struct tracefile_stat){.cpu = (uint32_t)cpu, .lost = lost};
	return 0;
}

/*
 * per_cpu/cpuN/stats, and before the first CPU of an instance a text "Buffer: NAME". index says which buffer it belongs
 * to: as yet only a name, since in version 7 buffers are told later.
 */
static int read_cpustat(struct tracefile *tf, struct cursor *c, const char *text, uint32_t *index)
{
	const char *name = strstr(text, "Buffer: ");
	struct tracefile_buffer *b;
	char copy[256];
	uint64_t lost;

	if (name) {
		snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(name + 8, "\n"), name + 8);
		b = buffer_named(tf, c, copy);
		*index = b ? (uint32_t)(b - tf->buffer) : 0;
		return b ? 0 : -1;
	}
	lost = stat_number(text, "\noverrun: ") + stat_number(text, "commit overrun: ") +
	       stat_number(text, "dropped events: ");
	if (!lost || strncmp(text, "CPU: ", 5))
		return 0;
	return add_stat(c, &tf->buffer[*index], stat_number(text, "CPU: "), lost);
}

static int add_cpu(struct cursor *c, struct tracefile_buffer *b, uint32_t cpu, uint64_t offset, uint64_t size)
{
	if (cpu >= MAX_CPUS || offset > INT64_MAX || size > INT64_MAX - offset)
		return cursor_error(c, "a CPU that cannot be; the file is damaged");
	if (grow(c->budget, (void **)&b->cpu, b->cpus, &b->cpus_cap, sizeof(*b->cpu)))
		return cursor_no_memory(c);
	b->cpu[b->cpus++] = (struct tracefile_cpu){.cpu = cpu, .offset = offset, .size = size};
	return 0;
}

/* Before n CPUs are added to the buffer, each told in so many bytes. */
static int begin_cpus(struct cursor *c, struct tracefile_buffer *b, uint64_t n, uint64_t bytes_each)
{
	uint64_t left = c->end - cursor_offset(c);

	if (n > MAX_CPUS || n * bytes_each > left)
		return cursor_error(c, "more CPUs than there is room for; the file is damaged");
	b->cpus = 0;
	return 0;
}

/* Version 7: whether the section of a buffer's records is compressed. */
static int read_compressed(const struct tracefile *tf, uint64_t offset, bool *compressed, struct error *e)
{
	struct cursor at = cursor_at(tf, offset, "section of records", e);
	uint64_t id, flags;
	int ret;

	if (offset > tf->size)
		return cursor_cut(&at);
	ret = cursor_number(&at, 2, &id) || cursor_number(&at, 2, &flags);
	cursor_free(&at);
	if (ret)
		return -1;
	*compressed = flags & SECTION_COMPRESSED;
	return 0;
}

/* What the option of a buffer begins with in both versions: an offset, and the name. NULL and the error. */
static struct tracefile_buffer *read_buffer(struct tracefile *tf, struct cursor *c, uint64_t *offset)
{
	const char *name;

	if (cursor_number(c, 8, offset))
		return NULL;
	name = cursor_string(c, 255);
	return name ? buffer_named(tf, c, name) : NULL;
}

/* Version 7: where the records of a buffer are. */
static int read_buffer_v7(struct tracefile *tf, struct cursor *c)
{
	uint64_t section_offset, offset, size;
	struct tracefile_buffer *b = read_buffer(tf, c, &section_offset);
	const char *clock = b ? cursor_string(c, 255) : NULL;
	uint32_t n, cpu;

	if (!clock || set_string(c, &b->clock, clock, strlen(clock)))
		return -1;
	if (cursor_u32(c, &b->page_size) || cursor_u32(c, &n) || begin_cpus(c, b, n, 20))
		return -1;
	while (n--)
		if (cursor_u32(c, &cpu) || cursor_number(c, 8, &offset) || cursor_number(c, 8, &size) ||
		    add_cpu(c, b, cpu, offset, size))
			return -1;
	return read_compressed(tf, section_offset, &b->compressed, c->e);
}

/* Version 6: where the table of an instance's CPUs is. */
static int read_buffer_v6(struct tracefile *tf, struct cursor *c, uint32_t *last)
{
	uint64_t offset;
	struct tracefile_buffer *b = read_buffer(tf, c, &offset);

	if (!b)
		return -1;
	b->offset = offset;
	*last = (uint32_t)(b - tf->buffer);
	return 0;
}

struct option_state {
	uint32_t stats_of; /* index of the buffer whose statistics come next */
	uint32_t last;	   /* index of the instance told just before, 0: none */
	uint64_t section[SECTION_CMDLINES + 1];
	uint64_t next; /* version 7: the next section of options, 0: none */
};

/* One option with its data in a cursor of its own. */
static int read_option(struct tracefile *tf, struct cursor *c, unsigned id, size_t len, struct option_state *st)
{
	uint32_t n;
	char *text;
	int ret;

	if (tf->version >= 7 && id >= SECTION_HEADER && id <= SECTION_CMDLINES)
		return cursor_number(c, 8, &st->section[id]);
	switch (id) {
	case OPTION_DONE:
		return tf->version >= 7 ? cursor_number(c, 8, &st->next) : 0;
	case OPTION_BUFFER:
		return tf->version >= 7 ? read_buffer_v7(tf, c) : read_buffer_v6(tf, c, &st->last);
	case OPTION_CPUCOUNT:
		if (cursor_u32(c, &n))
			return -1;
		if (st->last)
			tf->buffer[st->last].cpu_count = n;
		else if (tf->version >= 7)
			tf->cpu_count = n;
		st->last = 0;
		return 0;
	case OPTION_TEXT:
		tf->has_text = true;
		return 0;
	case OPTION_CPUSTAT:
	case OPTION_CLOCK:
	case OPTION_UNAME:
		text = cursor_text(c, len);
		if (!text)
			return -1;
		ret = id == OPTION_CPUSTAT ? read_cpustat(tf, c, text, &st->stats_of) :
		      id == OPTION_CLOCK   ? read_clock(tf, c, text) :
					     read_uname(tf, c, text);
		budget_free(c->budget, text, len + 1);
		return ret;
	default:
		return 0;
	}
}

/* Options up to DONE. */
static int read_options(struct tracefile *tf, struct cursor *c, struct option_state *st)
{
	struct cursor in;
	uint64_t id;
	uint32_t len;

	for (;;) {
		c->what = "options";
		if (cursor_number(c, 2, &id))
			return -1;
		if (id == OPTION_DONE && tf->version < 7)
			return 0;
		if (cursor_u32(c, &len))
			return -1;
		if (len > MAX_OPTION)
			return cursor_error(c, "an option of more than 16 MiB; the file is damaged");
		if (cursor_over(c, len, &in))
			return -1;
		if (read_option(tf, &in, (unsigned)id, len, st))
			return -1;
		if (id == OPTION_DONE)
			return 0;
	}
}

/* --- version 6: one thing after the other */

static int read_cpu_table(struct tracefile *tf, struct cursor *c, struct tracefile_buffer *b, uint32_t n)
{
	uint64_t offset, size;
	uint32_t i;

	c->what = "table of CPUs";
	if (begin_cpus(c, b, n, 16))
		return -1;
	for (i = 0; i < n; i++)
		if (cursor_number(c, 8, &offset) || cursor_number(c, 8, &size) || add_cpu(c, b, i, offset, size))
			return -1;
	b->page_size = tf->page_size;
	return 0;
}

/* The tables of the instances, whose places the options told. cpus: of the file. */
static int read_instances(struct tracefile *tf, uint32_t cpus, struct error *e)
{
	uint32_t i;
	int ret = 0;

	for (i = 1; i < tf->buffers && !ret; i++) {
		struct tracefile_buffer *b = &tf->buffer[i];
		struct cursor at = cursor_at(tf, b->offset, "buffer of an instance", e);

		if (!b->offset)
			continue; /* only statistics named it */
		if (b->offset > tf->size)
			return cursor_cut(&at);
		ret = cursor_expect(&at, "flyrecord", 10) ||
		      read_cpu_table(tf, &at, b, b->cpu_count ? b->cpu_count : cpus);
		cursor_free(&at);
	}
	return ret ? -1 : 0;
}

/* The word that tells what follows, which is left to be taken. NULL and the error. */
static const uint8_t *kind_of_data(struct cursor *c)
{
	c->what = "kind of data";
	return cursor_need(c, 10);
}

static int read_rest_v6(struct tracefile *tf, struct cursor *c)
{
	struct option_state st = {0};
	const uint8_t *kind;
	uint32_t cpus;

	c->what = "number of CPUs";
	if (cursor_u32(c, &cpus))
		return -1;
	tf->cpu_count = cpus;
	kind = kind_of_data(c);
	if (kind && !memcmp(kind, "options  ", 10)) {
		if (cursor_skip(c, 10) || read_options(tf, c, &st))
			return -1;
		kind = kind_of_data(c);
	}
	if (!kind)
		return -1;
	if (!memcmp(kind, "latency  ", 10)) {
		tf->has_text = true;
		return 0;
	}
	if (cursor_expect(c, "flyrecord", 10) || read_cpu_table(tf, c, &tf->buffer[0], cpus))
		return -1;
	return read_instances(tf, cpus, c->e);
}

/* A 32-bit length, and as many bytes, which nothing here needs. */
static int skip_block(struct cursor *c, const char *what)
{
	uint32_t n;

	c->what = what;
	return cursor_u32(c, &n) || cursor_skip(c, n) ? -1 : 0;
}

static int read_v6(struct tracefile *tf, struct cursor *c)
{
	if (read_header_page(tf, c) || skip_ftrace_formats(tf, c) || read_formats(tf, c))
		return -1;
	if (skip_block(c, "kernel symbols") || skip_block(c, "printk formats"))
		return -1;
	return read_cmdlines(tf, c) || read_rest_v6(tf, c) ? -1 : 0;
}

/* --- version 7: sections, found through options */

int tracefile_unpack(const struct tracefile *tf, void *to, size_t size, const void *from, size_t len, struct error *e)
{
	size_t n;

	if (strcmp(tf->compression, "zstd"))
		return error_set(e,
				 "compressed with \"%.16s\", which ioflush cannot read; trace-cmd convert --compression "
				 "none makes a file that it can",
				 tf->compression);
	n = ZSTD_decompress(to, size, from, len);
	if (ZSTD_isError(n))
		return error_set(e, "cannot be decompressed (%s); the file is damaged", ZSTD_getErrorName(n));
	if (n != size)
		return error_set(e, "decompressed to %zu bytes in place of %zu; the file is damaged", n, size);
	return 0;
}

struct section {
	uint32_t id, flags;
	uint64_t size, offset; /* of what follows the header */
};

static int read_section_header(const struct tracefile *tf, struct cursor *c, struct section *s)
{
	uint64_t id, flags;

	if (cursor_number(c, 2, &id) || cursor_number(c, 2, &flags) || cursor_skip(c, 4) || cursor_number(c, 8, &s->size))
		return -1;
	s->id = (uint32_t)id;
	s->flags = (uint32_t)flags;
	s->offset = cursor_offset(c);
	if (s->size > tf->size - s->offset)
		return error_set(c->e,
				 "%s: %s at offset %" PRIu64 " has %" PRIu64 " bytes, but the file ends at %" PRIu64
				 "; it is truncated",
				 c->path, c->what, s->offset, s->size, tf->size);
	return 0;
}

/* Turns the cursor at a compressed section's content into one over the unpacked bytes. */
static int unpack_section(const struct tracefile *tf, struct cursor *c, const struct section *s)
{
	struct error why = {""};
	uint32_t packed, size;
	const uint8_t *p;
	uint8_t *out;

	if (cursor_u32(c, &packed) || cursor_u32(c, &size))
		return -1;
	if (packed > s->size)
		return cursor_error(c, "a compressed section of impossible size; the file is damaged");
	p = cursor_take(c, packed);
	if (!p)
		return -1;
	out = budget_alloc(tf->budget, size);
	if (!out)
		return cursor_no_memory(c);
	if (tracefile_unpack(tf, out, size, p, packed, &why)) {
		budget_free(tf->budget, out, size);
		return error_set(c->e, "%s: %s at offset %" PRIu64 ": %s", c->path, c->what, s->offset, why.text);
	}
	cursor_unpacked(c, out, size, s->offset);
	return 0;
}

/* Opens the cursor, which stands at a section's header, for its content. It is the caller's to free even on error. */
static int enter_section(const struct tracefile *tf, struct cursor *c, unsigned id)
{
	uint64_t offset = cursor_offset(c);
	struct section s;

	if (offset > tf->size)
		return cursor_cut(c);
	if (read_section_header(tf, c, &s))
		return -1;
	if (s.id != id)
		return error_set(c->e, "%s: %s at offset %" PRIu64 ": section %u is there; the file is damaged",
				 c->path, c->what, offset, s.id);
	if (s.flags & SECTION_COMPRESSED)
		return unpack_section(tf, c, &s);
	if (id != SECTION_OPTIONS) /* those end with DONE */
		c->end = s.offset + s.size;
	return 0;
}

static int read_section(struct tracefile *tf, uint64_t offset, unsigned id, const char *what,
			int (*read)(struct tracefile *tf, struct cursor *c), struct error *e)
{
	struct cursor c = cursor_at(tf, offset, what, e);
	int ret;

	if (!offset)
		return error_set(e, "%s: has no %s; recording was not finished or the file is damaged", tf->path, what);
	ret = enter_section(tf, &c, id) || read(tf, &c);
	cursor_free(&c);
	return ret ? -1 : 0;
}

static int read_option_sections(struct tracefile *tf, uint64_t first, struct option_state *st, struct error *e)
{
	struct cursor c;
	unsigned n = 0;
	int ret = 0;

	for (st->next = first; st->next && !ret;) {
		c = cursor_at(tf, st->next, "options", e);
		if (n++ == MAX_OPTION_SECTIONS)
			return cursor_error(&c, "more than 1024 sections of options; the file is damaged");
		st->next = 0;
		ret = enter_section(tf, &c, SECTION_OPTIONS) || read_options(tf, &c, st);
		cursor_free(&c);
	}
	return ret ? -1 : 0;
}

static int read_v7(struct tracefile *tf, struct cursor *c)
{
	struct option_state st = {0};
	const char *name;
	uint64_t offset;

	c->what = "name of the compression";
	name = cursor_string(c, 255);
	if (!name || set_string(c, &tf->compression, name, strlen(name)) || !cursor_string(c, 255))
		return -1;
	c->what = "place of the options";
	if (cursor_number(c, 8, &offset))
		return -1;
	if (!offset)
		return cursor_error(c, "there is none: recording was not finished");
	if (read_option_sections(tf, offset, &st, c->e))
		return -1;
	if (read_section(tf, st.section[SECTION_HEADER], SECTION_HEADER, "header_page", read_header_page, c->e) ||
	    read_section(tf, st.section[SECTION_FORMATS], SECTION_FORMATS, "event formats", read_formats, c->e))
		return -1;
	if (!st.section[SECTION_CMDLINES])
		return 0;
	return read_section(tf, st.section[SECTION_CMDLINES], SECTION_CMDLINES, "command names", read_cmdlines, c->e);
}

/* --- the head, and what is the same for all captures */

static int read_head(struct tracefile *tf, struct cursor *c)
{
	const char *text;
	uint64_t v;

	if (cursor_expect(c, "\x17\x08\x44tracing", 10) || !(text = cursor_string(c, 16)))
		return -1;
	tf->version = (unsigned)strtoul(text, NULL, 10);
	if (strcmp(text, "6") && strcmp(text, "7"))
		return error_set(c->e,
				 "%s: head at offset 10: a trace.dat of version %u; ioflush reads 6 and 7 (trace-cmd "
				 "convert makes them)",
				 c->path, tf->version);
	if (cursor_number(c, 1, &v))
		return -1;
	if (v > 1)
		return cursor_error(c, "byte order is neither 0 nor 1; the file is damaged");
	tf->bigendian = c->bigendian = v;
	if (cursor_number(c, 1, &v))
		return -1;
	tf->long_size = (unsigned)v;
	if (v != 4 && v != 8)
		return cursor_error(c, "a long is neither 4 nor 8 bytes; the file is damaged");
	if (cursor_u32(c, &tf->page_size))
		return -1;
	if (tf->page_size < 256 || tf->page_size > (16u << 20) || tf->page_size & (tf->page_size - 1))
		return cursor_error(c, "page size is no power of two from 256 to 16 Mi; the file is damaged");
	return 0;
}

static int set_up_tep(struct tracefile *tf, struct cursor *c)
{
	tf->tep = tep_alloc();
	if (!tf->tep)
		return cursor_error(c, "out of memory");
	tep_set_loglevel(TEP_LOG_NONE); /* errors are ours to tell */
	tep_set_file_bigendian(tf->tep, tf->bigendian ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_local_bigendian(tf->tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_long_size(tf->tep, (int)tf->long_size);
	tep_set_page_size(tf->tep, (int)tf->page_size);
	return 0;
}

static int stat_order(const void *a, const void *b)
{
	const struct tracefile_stat *x = a, *y = b;

	return (x->cpu > y->cpu) - (x->cpu < y->cpu);
}

static int no_memory(const struct tracefile *tf, const char *what, struct error *e)
{
	return error_set(e, "%s: %s: %s", tf->path, what, budget_failure(tf->budget));
}

/* qsort(), within the budget. 0, or -1: no memory for it. */
static int sort(struct budget *budget, void *array, size_t n, size_t size, int (*order)(const void *a, const void *b))
{
	if (!budget_take(budget, n * size))
		return -1;
	if (n)
		qsort(array, n, size, order);
	budget_give(budget, n * size);
	return 0;
}

/* Sorts the statistics of a buffer by CPU, each once. 0, or -1: no memory for it. */
static int sort_stats(struct budget *budget, struct tracefile_buffer *b)
{
	uint32_t i, n = 0;

	if (sort(budget, b->stat, b->stats, sizeof(*b->stat), stat_order))
		return -1;
	for (i = 0; i < b->stats; i++) {
		if (n && b->stat[n - 1].cpu == b->stat[i].cpu)
			b->stat[n - 1].lost += b->stat[i].lost;
		else
			b->stat[n++] = b->stat[i];
	}
	b->stats = n;
	return 0;
}

/*
 * Gives each CPU of a buffer what its statistics say. One that has lost all of its records is not in the table of
 * version 7, but below the number of CPUs that the file tells.
 */
static int settle_stats(struct tracefile *tf, struct tracefile_buffer *b, struct error *e)
{
	uint32_t i, count = b->cpu_count ? b->cpu_count : tf->cpu_count;

	if (sort_stats(tf->budget, b))
		return no_memory(tf, "statistics of CPUs", e);
	for (i = 0; i < b->cpus; i++) {
		const struct tracefile_stat key = {.cpu = b->cpu[i].cpu};
		struct tracefile_stat *s = NULL;

		if (b->stats)
			s = bsearch(&key, b->stat, b->stats, sizeof(key), stat_order);
		if (!s || s->taken)
			continue;
		s->taken = true;
		b->cpu[i].stat_lost = s->lost;
	}
	for (i = 0; i < b->stats; i++) {
		if (b->stat[i].taken)
			continue;
		if (b->stat[i].cpu >= count)
			return error_set(e, "%s: statistics of CPU %u, which is not there; the file is damaged",
					 tf->path, b->stat[i].cpu);
		if (grow(tf->budget, (void **)&b->cpu, b->cpus, &b->cpus_cap, sizeof(*b->cpu)))
			return no_memory(tf, "statistics of CPUs", e);
		b->cpu[b->cpus++] = (struct tracefile_cpu){.cpu = b->stat[i].cpu, .stat_lost = b->stat[i].lost};
	}
	return 0;
}

/* Whether there are any records. */
static bool has_records(const struct tracefile *tf)
{
	uint32_t i, k;

	for (i = 0; i < tf->buffers; i++)
		for (k = 0; k < tf->buffer[i].cpus; k++)
			if (tf->buffer[i].cpu[k].size)
				return true;
	return false;
}

static int run_order(const void *a, const void *b)
{
	const struct tracefile_cpu *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Sorts the runs of all CPUs by where they are, and looks whether one begins before the one before it ends. */
static int compare_runs(const struct tracefile *tf, struct tracefile_cpu *run, struct error *e)
{
	uint32_t i, k;
	size_t n = 0, j;

	for (i = 0; i < tf->buffers; i++)
		for (k = 0; k < tf->buffer[i].cpus; k++)
			if (tf->buffer[i].cpu[k].size)
				run[n++] = tf->buffer[i].cpu[k];
	if (sort(tf->budget, run, n, sizeof(*run), run_order))
		return no_memory(tf, "tables of CPUs", e);
	for (j = 1; j < n; j++)
		if (run[j].offset - run[j - 1].offset < run[j - 1].size)
			return error_set(e,
					 "%s: CPU %u: its records at offset %" PRIu64
					 " lie among those of CPU %u at %" PRIu64 "; the file is damaged",
					 tf->path, run[j].cpu, run[j].offset, run[j - 1].cpu, run[j - 1].offset);
	return 0;
}

static int check_runs(struct tracefile *tf, struct error *e)
{
	struct tracefile_cpu *run;
	size_t size = 0;
	uint32_t i;
	int ret;

	for (i = 0; i < tf->buffers; i++)
		size += tf->buffer[i].cpus * sizeof(*run);
	run = budget_alloc(tf->budget, size);
	if (!run)
		return no_memory(tf, "tables of CPUs", e);
	ret = compare_runs(tf, run, e);
	budget_free(tf->budget, run, size);
	return ret;
}

/* Drops buffers without records beside ones that have some; any: there are such. One is always left. */
static void drop_empty_buffers(struct tracefile *tf, bool any)
{
	uint32_t i, k, kept = 0;

	for (i = 0; i < tf->buffers; i++) {
		struct tracefile_buffer *b = &tf->buffer[i];
		bool used = false;

		for (k = 0; k < b->cpus; k++)
			used |= b->cpu[k].size || b->cpu[k].stat_lost;
		if (used || (!any && !kept))
			tf->buffer[kept++] = *b;
		else
			buffer_clear(tf, b);
	}
	tf->buffers = kept;
}

static int settle_buffers(struct tracefile *tf, struct error *e)
{
	bool any = has_records(tf);
	uint32_t i;

	if (tf->has_text && !any)
		return error_set(e,
				 "%s: holds the text of a latency trace, not records; store that text in a file of its own "
				 "(trace-cmd report) and give that",
				 tf->path);
	for (i = 0; i < tf->buffers; i++)
		if (settle_stats(tf, &tf->buffer[i], e))
			return -1;
	if (check_runs(tf, e))
		return -1;
	drop_empty_buffers(tf, any);
	return 0;
}

static int read_metadata(struct tracefile *tf, struct error *e)
{
	struct cursor c = cursor_at(tf, 0, "head", e);
	int ret;

	ret = read_head(tf, &c) || set_up_tep(tf, &c) || !add_buffer(tf, &c, "");
	if (!ret)
		ret = tf->version == 6 ? read_v6(tf, &c) : read_v7(tf, &c);
	cursor_free(&c);
	if (ret)
		return -1;
	if (!tep_get_first_event(tf->tep))
		return error_set(e,
				 "%s: has none of the events that ioflush reads; record with its probes, or the events were "
				 "not enabled",
				 tf->path);
	return settle_buffers(tf, e);
}

int tracefile_open(struct tracefile **out, int fd, const char *path, struct budget *budget,
		   bool (*wanted)(const char *name, size_t len), struct error *e)
{
	struct tracefile *tf = calloc(1, sizeof(*tf));
	struct stat st;

	*out = NULL;
	if (!tf) {
		close(fd);
		return error_set(e, "out of memory");
	}
	tf->fd = fd;
	tf->path = path;
	tf->budget = budget;
	tf->wanted = wanted;
	if (fstat(fd, &st)) {
		error_errno(e, "%s: asking for its size", path);
		goto fail;
	}
	tf->size = (uint64_t)st.st_size;
	if (read_metadata(tf, e))
		goto fail;
	*out = tf;
	return 0;
fail:
	tracefile_close(tf);
	return -1;
}

void tracefile_close(struct tracefile *tf)
{
	uint32_t i;

	if (!tf)
		return;
	for (i = 0; i < tf->buffers; i++)
		buffer_clear(tf, &tf->buffer[i]);
	budget_free(tf->budget, tf->buffer, tf->buffers_cap * sizeof(*tf->buffer));
	budget_free(tf->budget, tf->header_page, tf->header_page_len + 1);
	free_string(tf, tf->compression);
	free_string(tf, tf->host);
	free_string(tf, tf->kernel);
	free_string(tf, tf->clock);
	tep_free(tf->tep);
	close(tf->fd);
	free(tf);
}
