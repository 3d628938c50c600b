/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The container trace.dat; see tracefile.h. Version 6 is sequential; version 7 has sections, whose places are in the
 * options. What both have in common is in the files of tracefile_parts.h.
 */
#include "trace/formats/tracefile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "trace/formats/tracefile_parts.h"

#define MAX_OPTION_SECTIONS 1024u
#define MAX_SYMBOLS (64u << 20) /* bytes of kallsyms; a kernel has about 10 MiB */
#define SOME_SYMBOLS 32768u	/* bytes of it at one time */

struct cursor tracefile_at(const struct tracefile *tf, uint64_t offset, const char *what, struct error *e)
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

/* --- version 6: one thing after the other */

static int read_cpu_table(struct tracefile *tf, struct cursor *c, struct tracefile_buffer *b, uint32_t n)
{
	uint64_t offset, size;
	uint32_t i;

	c->what = "table of CPUs";
	if (tracefile_begin_cpus(c, b, n, 16))
		return -1;
	for (i = 0; i < n; i++)
		if (cursor_number(c, 8, &offset) || cursor_number(c, 8, &size) ||
		    tracefile_add_cpu(c, b, i, offset, size))
			return -1;
	b->page_size = tf->page_size;
	return 0;
}

/* The tables of the instances, whose places are in the options. cpus: of the file. */
static int read_instances(struct tracefile *tf, uint32_t cpus, struct error *e)
{
	uint32_t i;
	int ret = 0;

	for (i = 1; i < tf->buffers && !ret; i++) {
		struct tracefile_buffer *b = &tf->buffer[i];
		struct cursor at = tracefile_at(tf, b->offset, "buffer of an instance", e);

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

/* The word that names what follows, without moving behind it. NULL and the error. */
static const uint8_t *kind_of_data(struct cursor *c)
{
	c->what = "kind of data";
	return cursor_need(c, 10);
}

static int read_rest_v6(struct tracefile *tf, struct cursor *c)
{
	struct tracefile_options st = {0};
	const uint8_t *kind;
	uint32_t cpus;

	c->what = "number of CPUs";
	if (cursor_u32(c, &cpus))
		return -1;
	tf->cpu_count = cpus;
	kind = kind_of_data(c);
	if (kind && !memcmp(kind, "options  ", 10)) {
		if (cursor_skip(c, 10) || tracefile_read_options(tf, c, &st))
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

/* Skips a 32-bit length and that many bytes. */
static int skip_block(struct cursor *c, const char *what)
{
	uint32_t n;

	c->what = what;
	return cursor_u32(c, &n) || cursor_skip(c, n) ? -1 : 0;
}

static int read_v6(struct tracefile *tf, struct cursor *c)
{
	if (tracefile_read_header_page(tf, c) || tracefile_skip_ftrace_formats(tf, c) || tracefile_read_formats(tf, c))
		return -1;
	tf->symbols = cursor_offset(c);
	if (skip_block(c, "kernel symbols") || skip_block(c, "printk formats"))
		return -1;
	return tracefile_read_cmdlines(tf, c) || read_rest_v6(tf, c) ? -1 : 0;
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

/* Opens the cursor, at a section's header, for the content. The caller frees it, even on error. */
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
	struct cursor c = tracefile_at(tf, offset, what, e);
	int ret;

	if (!offset)
		return error_set(e, "%s: has no %s; recording was not finished or the file is damaged", tf->path, what);
	ret = enter_section(tf, &c, id) || read(tf, &c);
	cursor_free(&c);
	return ret ? -1 : 0;
}

static int read_option_sections(struct tracefile *tf, uint64_t first, struct tracefile_options *st, struct error *e)
{
	struct cursor c;
	unsigned n = 0;
	int ret = 0;

	for (st->next = first; st->next && !ret;) {
		c = tracefile_at(tf, st->next, "options", e);
		if (n++ == MAX_OPTION_SECTIONS)
			return cursor_error(&c, "more than 1024 sections of options; the file is damaged");
		st->next = 0;
		ret = enter_section(tf, &c, SECTION_OPTIONS) || tracefile_read_options(tf, &c, st);
		cursor_free(&c);
	}
	return ret ? -1 : 0;
}

static int read_v7(struct tracefile *tf, struct cursor *c)
{
	struct tracefile_options st = {0};
	const char *name;
	uint64_t offset;

	c->what = "name of the compression";
	name = cursor_string(c, 255);
	if (!name || tracefile_set_string(c, &tf->compression, name, strlen(name)) || !cursor_string(c, 255))
		return -1;
	c->what = "place of the options";
	if (cursor_number(c, 8, &offset))
		return -1;
	if (!offset)
		return cursor_error(c, "there is none: recording was not finished");
	if (read_option_sections(tf, offset, &st, c->e))
		return -1;
	if (read_section(tf, st.section[SECTION_HEADER], SECTION_HEADER, "header_page", tracefile_read_header_page, c->e) ||
	    read_section(tf, st.section[SECTION_FORMATS], SECTION_FORMATS, "event formats", tracefile_read_formats, c->e))
		return -1;
	tf->symbols = st.section[SECTION_SYMBOLS];
	if (!st.section[SECTION_CMDLINES])
		return 0;
	return read_section(tf, st.section[SECTION_CMDLINES], SECTION_CMDLINES, "command names",
			    tracefile_read_cmdlines, c->e);
}

/* --- kernel symbols */

static int search_symbols(const struct tracefile *tf, struct cursor *c, struct symbol_search *s)
{
	const uint8_t *text;
	uint32_t n, some;

	if ((tf->version == 7 && enter_section(tf, c, SECTION_SYMBOLS)) || cursor_u32(c, &n) || n > MAX_SYMBOLS)
		return -1;
	for (; n; n -= some) {
		some = n < SOME_SYMBOLS ? n : SOME_SYMBOLS;
		text = cursor_take(c, some);
		if (!text)
			return -1;
		symbol_text(s, (const char *)text, some);
	}
	return 0;
}

bool tracefile_symbol(struct tracefile *tf, uint64_t address, char out[SYMBOL_MAX])
{
	struct error ignored = {""}; /* nothing but names comes from there */
	struct symbol_search s;
	const char *name;
	struct cursor c;

	if (!tf->symbols)
		return false;
	c = tracefile_at(tf, tf->symbols, "kernel symbols", &ignored);
	symbol_begin(&s, address);
	if (search_symbols(tf, &c, &s))
		tf->symbols = 0; /* they are damaged: not once more */
	cursor_free(&c);
	name = symbol_end(&s);
	if (!tf->symbols || !name)
		return false;
	memcpy(out, name, strlen(name) + 1);
	return true;
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
	tep_set_loglevel(TEP_LOG_NONE); /* we report errors ourselves */
	tep_set_file_bigendian(tf->tep, tf->bigendian ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_local_bigendian(tf->tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_long_size(tf->tep, (int)tf->long_size);
	tep_set_page_size(tf->tep, (int)tf->page_size);
	return 0;
}

static int read_metadata(struct tracefile *tf, struct error *e)
{
	struct cursor c = tracefile_at(tf, 0, "head", e);
	int ret;

	ret = read_head(tf, &c) || set_up_tep(tf, &c) || !tracefile_add_buffer(tf, &c, "");
	if (!ret)
		ret = tf->version == 6 ? read_v6(tf, &c) : read_v7(tf, &c);
	cursor_free(&c);
	if (ret)
		return -1;
	if (!tep_get_first_event(tf->tep))
		return error_set(e,
				 "%s: has no event format, so nothing can be read of its records; record with trace-cmd and "
				 "the probes of ioflush",
				 tf->path);
	return tracefile_settle_buffers(tf, e);
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
		tracefile_clear_buffer(tf, &tf->buffer[i]);
	budget_free(tf->budget, tf->buffer, tf->buffers_cap * sizeof(*tf->buffer));
	budget_free(tf->budget, tf->other, tf->others_cap * sizeof(*tf->other));
	budget_free(tf->budget, tf->header_page, tf->header_page_len + 1);
	tracefile_free_string(tf, tf->compression);
	tracefile_free_string(tf, tf->host);
	tracefile_free_string(tf, tf->kernel);
	tracefile_free_string(tf, tf->clock);
	tep_free(tf->tep);
	close(tf->fd);
	free(tf);
}
