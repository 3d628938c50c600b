/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON Lines: the output is canonical and reads back the same; mistakes are refused with their place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/random_events.h"
#include "trace/formats/jsonl.h"
#include "trace/formats/open.h"
#include "trace/source.h"

#define HEADER "{\"ioflush_trace\":1,\"page_size\":4096,\"host\":\"h\",\"clock\":\"mono\"}\n"
#define MAP "{\"t\":1,\"cpu\":0,\"tid\":7,\"e\":\"map\",\"domain\":\"0xa\",\"iova\":0,\"paddr\":0,\"size\":4096}\n"

struct files {
	char dir[64];
	char a[96], b[96];
};

static int make_dir(void **state)
{
	struct files *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/ioflush-jsonl-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->a, sizeof(f->a), "%s/a.jsonl", f->dir);
	snprintf(f->b, sizeof(f->b), "%s/b.jsonl", f->dir);
	*state = f;
	return 0;
}

static int remove_dir(void **state)
{
	struct files *f = *state;

	unlink(f->a);
	unlink(f->b);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void put_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static char *get_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *text;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	text = malloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
	text[st.st_size] = '\0';
	*len = (size_t)st.st_size;
	close(fd);
	return text;
}

/* Reads all of a file, through captures. How many events, or -1 with the error; events before the error go to *before. */
static long read_all(const char *path, struct error *e, long *before)
{
	struct capture c;
	struct event ev[16];
	struct source *s;
	ssize_t n = 0;
	long total = 0;
	int rc = -1;

	e->text[0] = '\0';
	if (source_open(&s, path, e))
		return -1;
	while ((rc = source_capture(s, &c, e)) > 0) {
		while ((n = source_read(s, ev, 16, e)) > 0)
			total += n;
		if (n < 0)
			break;
	}
	if (n < 0 || rc < 0) {
		struct error again = {""};

		assert_int_equal(source_read(s, ev, 16, &again), -1); /* nothing more after an error */
		if (source_capture(s, &c, NULL) == 1) /* what stands for captures that cannot be found */
			assert_int_equal(source_read(s, ev, 16, NULL), -1);
		assert_int_equal(source_capture(s, &c, NULL), -1);
	}
	source_close(s);
	if (before)
		*before = total;
	return n < 0 || rc < 0 ? -1 : total;
}

/* The text must be refused with a message that ends so, after the path. */
static void refused(struct files *f, const char *text, size_t len, const char *message)
{
	char want[1200];
	struct error e;

	put_file(f->a, text, len);
	assert_int_equal(read_all(f->a, &e, NULL), -1);
	snprintf(want, sizeof(want), "%s%s", f->a, message);
	if (strncmp(e.text, want, strlen(want)))
		fail_msg("\n got: %s\nwant: %s", e.text, want);
}

static void refused_line(struct files *f, const char *line, const char *message)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s%s\n", HEADER, line);
	refused(f, text, strlen(text), message);
}

static void taken(struct files *f, const char *text, long events)
{
	struct error e;
	long n;

	put_file(f->a, text, strlen(text));
	n = read_all(f->a, &e, NULL);
	if (n != events)
		fail_msg("%ld events, not %ld: %s", n, events, e.text);
}

static void test_round_trip(void **state)
{
	enum { N = 20000 };
	struct files *f = *state;
	struct intern *strings = intern_new();
	struct event *ev = calloc(N, sizeof(*ev)), back[700];
	struct capture c = {.host = "h\"\n",
			    .clock = "mono",
			    .kernel = "6.12",
			    .probes = "a\nb",
			    .source = "x.dat",
			    .state = "partial",
			    .note = "cut \\ off"},
		       c2;
	uint64_t seed = 42, t = 0;
	struct jsonl_writer *w;
	struct error e = {""};
	struct source *s;
	ssize_t n, at = 0;
	char *one, *two;
	size_t len1, len2, i;

	for (i = 0; i < N; i++) {
		if (i == N / 2)
			t = 1ull << 63; /* a clock beyond signed numbers */
		ev[i] = random_event(&seed, strings, 0, &t);
	}
	assert_int_equal(jsonl_writer_open(&w, f->a, &e), 0);
	assert_int_equal(jsonl_write_capture(w, &c, &e), 0);
	assert_int_equal(jsonl_write_events(w, ev, N, strings, &e), 0);
	assert_int_equal(jsonl_writer_close(w, true, &e), 0);

	assert_int_equal(source_open(&s, f->a, &e), 0);
	assert_int_equal(jsonl_writer_open(&w, f->b, &e), 0);
	assert_int_equal(source_capture(s, &c2, &e), 1);
	assert_string_equal(c2.host, c.host);
	assert_string_equal(c2.clock, c.clock);
	assert_string_equal(c2.kernel, c.kernel);
	assert_string_equal(c2.probes, c.probes);
	assert_string_equal(c2.source, c.source);
	assert_string_equal(c2.state, c.state);
	assert_string_equal(c2.note, c.note);
	assert_string_equal(c2.format, "jsonl");
	assert_int_equal(jsonl_write_capture(w, &c2, &e), 0);
	while ((n = source_read(s, back, 700, &e)) > 0) {
		for (i = 0; i < (size_t)n; i++)
			if (!same_event(&back[i], s->strings, &ev[at + (ssize_t)i], strings))
				fail_msg("event %zu differs: %s", (size_t)at + i, event_table[back[i].kind].name);
		assert_int_equal(jsonl_write_events(w, back, (size_t)n, s->strings, &e), 0);
		at += n;
	}
	assert_string_equal(e.text, "");
	assert_int_equal(at, N);
	assert_int_equal(source_capture(s, &c2, &e), 0);
	assert_true(source_progress(s) == 1);
	assert_int_equal(jsonl_writer_close(w, true, &e), 0);
	source_close(s);

	one = get_file(f->a, &len1);
	two = get_file(f->b, &len2);
	assert_int_equal(len1, len2);
	assert_memory_equal(one, two, len1);
	free(one);
	free(two);
	free(ev);
	intern_free(strings);
}

/* HEADER as the writer writes it into a file. */
#define COUNTED_HEADER(count) \
	"{\"ioflush_trace\":1,\"page_size\":4096,\"host\":\"h\",\"clock\":\"mono\",\"events\":" count "}\n"

static void test_canonical(void **state)
{
	struct files *f = *state;
	struct intern *strings = intern_new();
	struct capture c = {.host = "h", .clock = "mono", .state = "complete"};
	struct event ev[4] = {
		{.t = 1, .cpu = 2, .tid = 3, .kind = EV_domain_add, .domain_add = {.iopt = 0x10, .domain = 0xff}, .missing = 4},
		{.t = 2, .cpu = 0, .tid = 3, .kind = EV_area_fill_end, .area_fill_end = {.area = 1, .rc = -12}},
		{.t = 3, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID, .kind = EV_lost, .missing = 7},
		{.t = 4, .kind = EV_attach, .attach = {.hwpt = 0}, .missing = 2},
	};
	struct jsonl_writer *w;
	struct error e = {""};
	char *text;
	size_t len;

	ev[0].comm = intern_add(strings, "a\xff\"\x01", 4);
	ev[3].attach.device = intern_add(strings, "0000:00:02.0", 12);
	assert_int_equal(jsonl_writer_open(&w, f->a, &e), 0);
	assert_int_equal(jsonl_write_capture(w, &c, &e), 0);
	assert_int_equal(jsonl_write_events(w, ev, 4, strings, &e), 0);
	assert_int_equal(jsonl_writer_close(w, true, &e), 0);
	text = get_file(f->a, &len);
	assert_string_equal(
		text,
		COUNTED_HEADER(
			"4                   ") "{\"t\":1,\"cpu\":2,\"tid\":3,\"comm\":\"a\\\\xff\\\"\\u0001\",\"e\":\"domain_add\","
						"\"iopt\":\"0x10\",\"domain\":\"0xff\",\"coherent\":null}\n"
						"{\"t\":2,\"cpu\":0,\"tid\":3,\"e\":\"area_fill_end\",\"area\":\"0x1\",\"rc\":-12}\n"
						"{\"t\":3,\"e\":\"lost\"}\n"
						"{\"t\":4,\"cpu\":0,\"tid\":0,\"e\":\"attach\",\"hwpt\":\"0x0\","
						"\"device\":\"0000:00:02.0\"}\n");
	free(text);
	intern_free(strings);
}

/* Each value in each form that a reader takes, and in any order; strings with all escapes. */
static void test_forms(void **state)
{
	static const char forms[] = HEADER
		"{ \"e\" : \"area_fill_end\" , \"rc\" : \"0xfffffffffffffff4\", \"area\": 7, \"tid\":\"0x7\", "
		"\"cpu\":1,\t\"t\":\"0xA\" }\n"
		"{\"\\u0074\":10,\"cpu\":1,\"tid\":7,\"comm\":\"\\u00e9\\n\",\"e\":\"area_fill_end\","
		"\"area\":9223372036854775807}\n"
		"{\"t\":10,\"cpu\":-0,\"tid\":7,\"comm\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\xc3\xa9\\u20AC\xf0\x9f\x98\x80\\ud83d\\ude00\\u0007x\","
		"\"e\":\"area_fill_end\",\"area\":0,\"rc\":-9223372036854775808}\n";
	struct files *f = *state;
	struct error e = {""};
	struct capture c;
	struct event ev[8];
	struct source *s;

	put_file(f->a, "", 0);
	taken(f, HEADER MAP MAP, 2);
	taken(f, HEADER "\n  \r\n" MAP "\n", 1);
	taken(f, "{\"ioflush_trace\":1,\"page_size\":4096,\"seed\":{\"x\":[1.5]},\"host\":null}\n" MAP, 1);
	taken(f, HEADER MAP HEADER MAP MAP, 3); /* a second capture, whose t begins anew */
	taken(f,
	      HEADER
	      "{\"t\":1,\"cpu\":0,\"tid\":7,\"e\":\"map\",\"domain\":\"0xa\",\"iova\":0,\"paddr\":0,\"size\":2048}",
	      1);
	taken(f, HEADER "{\"e\":\"lost\",\"t\":5,\"cpu\":null,\"count\":null}\n", 1);
	taken(f,
	      HEADER
	      "{\"t\":1,\"cpu\":0,\"tid\":7,\"e\":\"map\",\"rc\":-12,\"domain\":1,\"iova\":0,\"paddr\":0,\"size\":0}\n",
	      0);
	put_file(f->a, forms, sizeof(forms) - 1);
	assert_int_equal(source_open(&s, f->a, &e), 0);
	assert_int_equal(source_capture(s, &c, &e), 1);
	if (source_read(s, ev, 8, &e) != 3)
		fail_msg("%s", e.text);
	assert_int_equal(ev[0].t, 10);
	assert_int_equal(ev[0].tid, 7);
	assert_int_equal(ev[0].area_fill_end.rc, -12);
	assert_int_equal(ev[0].area_fill_end.area, 7);
	assert_int_equal(ev[1].area_fill_end.area, INT64_MAX);
	assert_int_equal(ev[1].area_fill_end.rc, 0);
	assert_string_equal(intern_get(s->strings, ev[1].comm), "\xc3\xa9\n");
	assert_int_equal(ev[2].cpu, 0);
	assert_int_equal(ev[2].area_fill_end.rc, INT64_MIN);
	assert_string_equal(intern_get(s->strings, ev[2].comm),
			    "\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf0\x9f\x98\x80\ax");
	source_close(s);
}

static void put_blanks(FILE *f, uint64_t *seed)
{
	static const char *const blanks[] = {"", "", "", " ", "\t", " \r "};

	fputs(blanks[random_next(seed) % 6], f);
}

/* A string with escapes where none are needed, too. */
static void put_string(FILE *f, uint64_t *seed, const char *text)
{
	static const char wide[] = "\xf0\x9f\x98\x80";
	const unsigned char *p;
	bool must;

	fputc('"', f);
	for (p = (const unsigned char *)text; *p; p++) {
		must = *p < 0x20 || *p == '"' || *p == '\\';
		if (!strncmp((const char *)p, wide, 4) && random_next(seed) % 2) {
			fputs("\\uD83d\\ude00", f);
			p += 3;
		} else if (*p < 0x80 && (must || random_next(seed) % 4 == 0)) {
			fprintf(f, random_next(seed) % 2 ? "\\u%04x" : "\\u%04X", *p);
		} else {
			fputc(*p, f);
		}
	}
	fputc('"', f);
}

static void put_value(FILE *f, uint64_t *seed, uint64_t v, bool is_signed)
{
	char hex[32];

	if (is_signed && random_next(seed) % 2) {
		fprintf(f, "%lld", (long long)v);
	} else if (v <= INT64_MAX && random_next(seed) % 2) {
		fprintf(f, "%llu", (unsigned long long)v);
	} else {
		snprintf(hex, sizeof(hex), random_next(seed) % 2 ? "0x%llx" : "0x%016llX", (unsigned long long)v);
		memcpy(hex, "0x", 2);
		put_string(f, seed, hex);
	}
}

/* Member i of an event's line: its fields, then e, t, cpu, tid and comm. */
static void put_member(FILE *f, uint64_t *seed, const struct event *ev, const struct intern *strings, unsigned i)
{
	static const char *const common[] = {"e", "t", "cpu", "tid", "comm"};
	const struct event_desc *d = &event_table[ev->kind];
	const struct field_desc *field = i < d->nfields ? &d->field[i] : NULL;
	unsigned k = i - d->nfields;
	const char *text = field && field->type == FIELD_STR ? intern_get(strings, (uint32_t)ev->f[i]) :
			   !field && k == 4		     ? intern_get(strings, ev->comm) :
			   !field && !k			     ? d->name :
							       NULL;
	bool null = field  ? ev->missing >> i & 1 :
		    k == 2 ? ev->cpu == EVENT_NO_CPU :
		    k == 3 ? ev->tid == EVENT_NO_TID :
			     k == 4 && !ev->comm;

	put_blanks(f, seed);
	put_string(f, seed, field ? field->name : common[k]);
	put_blanks(f, seed);
	fputc(':', f);
	put_blanks(f, seed);
	if (null)
		fputs("null", f);
	else if (text)
		put_string(f, seed, text);
	else
		put_value(f, seed,
			  field	 ? ev->f[i] :
			  k == 1 ? ev->t :
			  k == 2 ? ev->cpu :
				   ev->tid,
			  field && field->type == FIELD_INT);
	put_blanks(f, seed);
}

/* However a line is laid out, it is the same event. */
static void test_layout(void **state)
{
	enum { N = 5000 };
	struct files *f = *state;
	struct intern *strings = intern_new();
	struct event *ev = calloc(N, sizeof(*ev)), back;
	unsigned order[EVENT_MAX_FIELDS + 5], members, i, k, other;
	uint64_t seed = 11, t = 0;
	struct error e = {""};
	struct source *s;
	struct capture c;
	FILE *out = fopen(f->a, "w");

	assert_non_null(out);
	fputs("{ \"page_size\" : 4096, \"x\" : [ { } , [ ], 1e-5, { \"a\" : true , \"b\" : -0.5 } ], \"ioflush_trace\" : 1 }\n",
	      out);
	for (i = 0; i < N; i++) {
		ev[i] = random_event(&seed, strings, 0, &t);
		members = event_table[ev[i].kind].nfields + 5;
		for (k = 0; k < members; k++) {
			other = (unsigned)(random_next(&seed) % (k + 1));
			order[k] = order[other];
			order[other] = k;
		}
		fputc('{', out);
		for (k = 0; k < members; k++) {
			fputs(k ? "," : "", out);
			put_member(out, &seed, &ev[i], strings, order[k]);
		}
		fputs("}\n", out);
	}
	fclose(out);
	assert_int_equal(source_open(&s, f->a, &e), 0);
	assert_int_equal(source_capture(s, &c, &e), 1);
	for (i = 0; i < N; i++) {
		if (source_read(s, &back, 1, &e) != 1)
			fail_msg("%s", e.text);
		if (!same_event(&back, s->strings, &ev[i], strings))
			fail_msg("event %u differs: %s", i, event_table[ev[i].kind].name);
	}
	assert_int_equal(source_read(s, &back, 1, &e), 0);
	source_close(s);
	free(ev);
	intern_free(strings);
}

static void test_header_refused(void **state)
{
	struct files *f = *state;
	static const struct {
		const char *text, *message;
	} bad[] = {
		{MAP, ":1: no header; the first line must be {\"ioflush_trace\":1,\"page_size\":4096,...}"},
		{"{\"ioflush_trace\":2,\"page_size\":4096}\n",
		 ":1: header: ioflush_trace: version 2; this ioflush reads version 1"},
		{"{\"ioflush_trace\":\"1\",\"page_size\":4096}\n", ":1: header: ioflush_trace: is not a whole number"},
		{"{\"ioflush_trace\":1}\n", ":1: header: page_size: missing, or not a whole number"},
		{"{\"ioflush_trace\":1,\"page_size\":16384}\n",
		 ":1: header: page_size: 16384; ioflush knows pages of 4096 bytes only"},
		{"{\"ioflush_trace\":1,\"page_size\":4096,\"host\":5}\n", ":1: header: host: is not a string"},
		{"{\"ioflush_trace\":1,\"page_size\":4096,\"state\":\"good\"}\n",
		 ":1: header: state: is none of complete"},
		{"{\"ioflush_trace\":1,\"page_size\":4096,\"page_size\":4096}\n", ":1: header: page_size: is there twice"},
		{"{\"ioflush_trace\":1,", ":1: the input ends in the middle of this line"},
		{" \n\n{", ":3: the input ends in the middle of this line"},
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(f, bad[i].text, strlen(bad[i].text), bad[i].message);
}

static void test_lines_refused(void **state)
{
	struct files *f = *state;
	static const struct {
		const char *line, *message;
	} bad[] = {
#define BEGIN "{\"t\":1,\"cpu\":0,\"tid\":7,\"e\":\"map\",\"domain\":\"0xa\",\"iova\":0,"
		{BEGIN "\"paddr\":0}", ":2: map: size: missing"},
		{BEGIN "\"paddr\":0,\"size\":0}", ":2: map: size: 0x0: a run has at least one byte"},
		{BEGIN "\"paddr\":0,\"size\":\"0x8000000000000000\"}", ":2: map: size: 0x8000000000000000: no run"},
		{BEGIN "\"paddr\":0,\"size\":\"4096\"}",
		 ":2: map: size: is neither a number nor \"0x\" and 1 to 16 digits"},
		{BEGIN "\"paddr\":0,\"size\":\"0x\"}", ":2: map: size: is neither a number"},
		{BEGIN "\"paddr\":0,\"size\":\"0x10000000000000000\"}", ":2: map: size: is neither a number"},
		{BEGIN "\"paddr\":0,\"size\":4096.0}", ":2: map: size: is not a whole number"},
		{BEGIN "\"paddr\":0,\"size\":1e3}", ":2: map: size: is not a whole number"},
		{BEGIN "\"paddr\":0,\"size\":true}", ":2: map: size: is not a whole number"},
		{BEGIN "\"paddr\":0,\"size\":[1]}", ":2: map: size: is not a whole number, but nested"},
		{BEGIN "\"paddr\":0,\"size\":-1}", ":2: map: size: is negative"},
		{BEGIN "\"paddr\":0,\"size\":null}", ":2: map: size: is null, but must be known"},
		{BEGIN "\"paddr\":0,\"size\":9223372036854775808}",
		 ":2:75: too big an integer; numbers above 2^63 - 1 are written \"0x...\""},
		{BEGIN "\"paddr\":0,\"size\":1,\"size\":1}", ":2: map: size: is there twice"},
		{BEGIN "\"paddr\":0,\"size\":1,\"\\u0073ize\":1}", ":2: map: size: is there twice"},
		{BEGIN "\"paddr\":0,\"size\":1,\"sizes\":1}", ":2: map: sizes: no field of this event"},
		{BEGIN "\"paddr\":0,\"size\":1,\"\\u001b[1m\":1}", ":2: map: ?[1m: no field of this event"},
		{BEGIN "\"paddr\":0,\"size\":01}", ":2:75: not JSON: a number begins with 0"},
		{BEGIN "\"paddr\":0,\"size\":1}}", ":2:77: not JSON: something follows the object"},
		{BEGIN "\"paddr\":0,\"size\":1} x", ":2:78: not JSON: something follows the object"},
		{BEGIN "\"paddr\":0,\"size\":1,}", ":2:77: not JSON: a key in quotes is missing"},
		{BEGIN "\"paddr\":0,\"size\":1,\"comm\":\"\xff\"}", ":2:85: not JSON: a byte that is no UTF-8"},
		{BEGIN "\"paddr\":0,\"size\":1,\"comm\":5}", ":2: map: comm: is not a string"},
		{BEGIN "\"paddr\":0,\"size\":1,\"comm\":\"a\\u0000b\"}", ":2:86: \\u0000: a NUL is no text"},
		{BEGIN "\"paddr\":0,\"size\":1.}", ":2:77: not JSON: a digit is missing"},
		{BEGIN "\"paddr\":0,\"size\":-}", ":2:76: not JSON: a digit is missing"},
		{BEGIN "\"paddr\":0,\"size\":1e+}", ":2:78: not JSON: a digit is missing"},
		{BEGIN "\"paddr\":0,\"size\":1e+3}", ":2: map: size: is not a whole number"},
		{BEGIN "\"paddr\":0,\"size\":}", ":2:75: not JSON: no value begins here"},
		{BEGIN "\"paddr\":0,\"size\":nil}", ":2:75: not JSON: no value begins here"},
		{BEGIN "\"paddr\":0,\"size\":9999999999999999999}", ":2:75: too big an integer"},
		{BEGIN "\"paddr\":0,\"size\":-9223372036854775808}", ":2: map: size: is negative"},
		{BEGIN "\"paddr\":0,\"size\":-9223372036854775809}", ":2:75: too big an integer"},
		{BEGIN "\"paddr\":0,\"size\":[1,]}", ":2:78: not JSON: no value begins here"},
		{BEGIN "\"paddr\":0,\"size\":[1}", ":2:77: not JSON: ',' or ']' is missing"},
		{BEGIN "\"paddr\":0,\"size\":{\"a\":{}", ":2:82: not JSON: ',' or '}' is missing"},
		{BEGIN "\"paddr\":0,\"size\" 1}", ":2:75: not JSON: ':' is missing"},
		{BEGIN "\"paddr\":0,\"comm\":{\"a\":[]}}", ":2: map: comm: is not a string, but nested"},
		{BEGIN "\"comm\":\"\\ud83d\"}", ":2:66: not JSON: half a pair of surrogates"},
		{BEGIN "\"comm\":\"\\ude00\\ud83d\"}", ":2:66: not JSON: half a pair of surrogates"},
		{BEGIN "\"comm\":\"\\u12g4\"}", ":2:66: not JSON: \\u without four digits"},
		{BEGIN "\"comm\":\"\\x\"}", ":2:66: not JSON: no such escape in a string"},
		{BEGIN "\"comm\":\"\t\"}", ":2:66: not JSON: a control character in a string"},
		{BEGIN "\"comm\":\"\xed\xa0\x80\"}", ":2:66: not JSON: a byte that is no UTF-8"},
		{BEGIN "\"comm\":\"", ":2:66: not JSON: a string does not end"},
		{"{\"t\":1,\"cpu\":0,\"e\":\"area_fill_end\",\"area\":1}", ":2: area_fill_end: tid: missing"},
		{"{\"t\":1,\"tid\":0,\"e\":\"area_fill_end\",\"area\":1}", ":2: area_fill_end: cpu: missing"},
		{"{\"cpu\":1,\"tid\":0,\"e\":\"area_fill_end\",\"area\":1}", ":2: area_fill_end: t: missing"},
		{"{\"t\":1,\"cpu\":4294967295,\"tid\":0,\"e\":\"area_fill_end\",\"area\":1}",
		 ":2: area_fill_end: cpu: is above 2^32 - 2"},
		{"{\"t\":1,\"cpu\":null,\"tid\":0,\"e\":\"area_fill_end\",\"area\":1}",
		 ":2: area_fill_end: cpu: is null, but must be known"},
		{"{\"t\":1,\"cpu\":1,\"tid\":0,\"e\":\"domain_add\",\"iopt\":1,\"domain\":1}",
		 ":2: domain_add: coherent: missing; null when it is unknown"},
		{"{\"t\":1,\"cpu\":1,\"tid\":0,\"e\":\"domain_add\",\"iopt\":1,\"domain\":1,\"coherent\":2}",
		 ":2: domain_add: coherent: 2: is 0, 1 or unknown"},
		{"{\"t\":1,\"cpu\":1,\"tid\":0,\"e\":\"nonsense\"}", ":2: \"nonsense\" is no event"},
		{"{\"t\":1,\"cpu\":1,\"tid\":0}", ":2: no \"e\": which event is it?"},
		{"{\"e\":5}", ":2: \"e\" is not a string"},
		{"{}", ":2: no \"e\": which event is it?"},
		{"[1]", ":2:1: not a JSON object"},
		{"nonsense", ":2:1: not a JSON object"},
		{"{\"t\":1,\"e\":\"lost\",\"count\":0}", ":2: lost: count: 0: a loss has at least one record"},
		{"{\"t\":1,\"cpu\":0,\"tid\":7,\"e\":\"lost\"}\n{\"t\":0,\"cpu\":0,\"tid\":7,\"e\":\"lost\"}",
		 ":3: lost: t: 0: earlier than the event before it, at 1; sort the lines by t"},
#undef BEGIN
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused_line(f, bad[i].line, bad[i].message);
}

static void test_nul_and_truncation(void **state)
{
	struct files *f = *state;
	char text[] = HEADER MAP;
	size_t len = sizeof(text) - 1, cut;
	struct error e;
	long before;

	put_file(f->a, text, len);
	for (cut = sizeof(HEADER); cut < len - 1; cut++) {
		assert_int_equal(truncate(f->a, (off_t)len), 0);
		put_file(f->a, text, cut);
		assert_int_equal(read_all(f->a, &e, &before), -1);
		assert_non_null(strstr(e.text, ":2: the input ends in the middle of this line"));
		assert_int_equal(before, 0);
	}
	text[len - 5] = '\0';
	refused(f, text, len, ":2: a NUL byte: not text");
}

/* Cut between two lines, a file looks whole unless its header says how many events it has. */
static void test_count_in_header(void **state)
{
#define COUNTED(n) "{\"ioflush_trace\":1,\"page_size\":4096,\"events\":" #n "}\n"
	struct files *f = *state;

	taken(f, COUNTED(2) MAP MAP, 2);
	refused(f, COUNTED(3) MAP MAP, strlen(COUNTED(3) MAP MAP), ":3: the capture ends after 2 of the 3 events");
	refused(f, COUNTED(1) MAP MAP, strlen(COUNTED(1) MAP MAP), ":3: the capture ends after 2 of the 1 events");
	refused(f, COUNTED(2) MAP COUNTED(1) MAP, strlen(COUNTED(2) MAP COUNTED(1) MAP),
		":3: the capture ends after 1 of the 2 events");
	refused(f, COUNTED(-1), strlen(COUNTED(-1)), ":1: header: events: is not a count");
	taken(f, COUNTED(0), 0);
	refused(f, COUNTED(0) MAP, strlen(COUNTED(0) MAP), ":2: the capture ends after 1 of the 0 events");
	refused(f, COUNTED(null) MAP, strlen(COUNTED(null) MAP), ":1: header: events: is null: the writer has not");
#undef COUNTED
}

/* Two captures, of 2 and of 1 events, to an open writer. */
static void write_two(struct jsonl_writer *w, uint64_t known)
{
	struct capture c = {.host = "h", .clock = "mono", .state = "complete", .events = 2 * known};
	struct event ev = {.t = 1, .kind = EV_lost, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID, .missing = 7};
	struct intern *strings = intern_new();
	struct error e = {""};

	assert_int_equal(jsonl_write_capture(w, &c, &e), 0);
	assert_int_equal(jsonl_write_events(w, &ev, 1, strings, &e), 0);
	assert_int_equal(jsonl_write_events(w, &ev, 1, strings, &e), 0);
	c.events = known;
	assert_int_equal(jsonl_write_capture(w, &c, &e), 0);
	assert_int_equal(jsonl_write_events(w, &ev, 1, strings, &e), 0);
	assert_int_equal(jsonl_writer_close(w, true, &e), 0);
	intern_free(strings);
}

#define TWO_COUNTED                                                            \
	COUNTED_HEADER("2                   ")                                 \
	"{\"t\":1,\"e\":\"lost\"}\n{\"t\":1,\"e\":\"lost\"}\n" COUNTED_HEADER( \
		"1                   ") "{\"t\":1,\"e\":\"lost\"}\n"
#define TWO_PLAIN HEADER "{\"t\":1,\"e\":\"lost\"}\n{\"t\":1,\"e\":\"lost\"}\n" HEADER "{\"t\":1,\"e\":\"lost\"}\n"

static void expect_file(const char *path, const char *want)
{
	size_t len;
	char *text = get_file(path, &len);

	assert_string_equal(text, want);
	free(text);
}

/* A file gets its counts afterwards, wherever it begins; what cannot go back has them only if they were known. */
static void test_count_written(void **state)
{
	static const int append[] = {0, O_APPEND};
	struct files *f = *state;
	struct error e = {""};
	struct jsonl_writer *w;
	char text[1024] = {0};
	int fds[2], saved, fd;
	uint64_t known;
	size_t i;

	for (known = 0; known < 2; known++) {
		assert_int_equal(jsonl_writer_open(&w, f->a, &e), 0);
		write_two(w, known);
		expect_file(f->a, TWO_COUNTED);
		assert_int_equal(pipe(fds), 0);
		snprintf(text, sizeof(text), "/dev/fd/%d", fds[1]);
		assert_int_equal(jsonl_writer_open(&w, text, &e), 0);
		write_two(w, known);
		memset(text, 0, sizeof(text));
		assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
		assert_string_equal(text, known ? TWO_COUNTED : TWO_PLAIN);
		close(fds[0]);
		close(fds[1]);
	}
	for (i = 0; i < 2; i++) {
		put_file(f->a, "x\n", 2);
		fd = open(f->a, O_WRONLY | append[i]);
		assert_int_equal(lseek(fd, 0, SEEK_END), 2);
		saved = dup(STDOUT_FILENO);
		dup2(fd, STDOUT_FILENO);
		assert_int_equal(jsonl_writer_open(&w, "-", &e), 0);
		dup2(saved, STDOUT_FILENO);
		write_two(w, 0);
		expect_file(f->a, append[i] ? "x\n" TWO_PLAIN : "x\n" TWO_COUNTED);
		close(fd);
		close(saved);
	}
	/* cut at any line's end it is not whole */
	for (i = 0; i < sizeof(TWO_COUNTED) - 1; i++)
		if (TWO_COUNTED[i] == '\n' && i + 2 < sizeof(TWO_COUNTED)) {
			put_file(f->a, TWO_COUNTED, i + 1);
			assert_int_equal(
				read_all(f->a, &e, NULL),
				i + 1 == strlen(TWO_COUNTED) - strlen(strstr(TWO_COUNTED + 1, "{\"ioflush")) ? 2 : -1);
		}
}

/* Damage between two captures: the one before is whole, and the next one tells it. */
static void test_lost_capture(void **state)
{
	static const char text[] = HEADER MAP "{\"ioflush_trace\":2,\"page_size\":4096}\n" MAP HEADER MAP;
	struct files *f = *state;
	struct error e = {""};
	struct capture c;
	struct event ev[4];
	struct source *s;
	int skip;

	put_file(f->a, text, sizeof(text) - 1);
	for (skip = 0; skip < 2; skip++) {
		assert_int_equal(source_open(&s, f->a, &e), 0);
		assert_int_equal(source_capture(s, &c, &e), 1);
		if (!skip) {
			assert_int_equal(source_read(s, ev, 4, &e), 1);
			assert_int_equal(source_read(s, ev, 4, &e), 0);
		}
		assert_int_equal(source_capture(s, &c, &e), 1);
		assert_int_equal(c.id, 2);
		assert_string_equal(e.text, "");
		assert_int_equal(source_read(s, ev, 4, &e), -1);
		assert_non_null(strstr(e.text, ":3: header: ioflush_trace: version 2"));
		assert_int_equal(source_capture(s, &c, &e), -1);
		source_close(s);
		e.text[0] = '\0';
	}
}

static void test_dropped(void **state)
{
#define FAILED \
	"{\"t\":1,\"cpu\":0,\"tid\":7,\"e\":\"access_add\",\"area\":1,\"pages\":2,\"iopt\":3,\"iova\":0,\"first\":0,\"last\":0,\"rc\":-12}\n"
#define FAILED_MAP \
	"{\"t\":1,\"cpu\":0,\"tid\":7,\"e\":\"map\",\"domain\":1,\"iova\":0,\"paddr\":0,\"size\":4096,\"rc\":-12}\n"
	struct files *f = *state;
	struct error e = {""};
	struct dropped d;
	struct capture c;
	struct event ev[4];
	struct source *s;

	put_file(f->a, HEADER FAILED MAP FAILED HEADER FAILED FAILED_MAP,
		 strlen(HEADER FAILED MAP FAILED HEADER FAILED FAILED_MAP));
	assert_int_equal(source_open(&s, f->a, &e), 0);
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(source_read(s, ev, 4, &e), 1);
	source_dropped(s, &d);
	assert_int_equal(d.failed_accesses, 2);
	assert_int_equal(d.failed_maps + d.empty_unmaps + d.other, 0);
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(source_read(s, ev, 4, &e), 1);
	assert_int_equal(ev[0].kind, EV_map_failed); /* an event of its own */
	assert_int_equal(ev[0].map_failed.rc, -12);
	assert_int_equal(ev[0].map_failed.size, 4096);
	source_dropped(s, &d);
	assert_int_equal(d.failed_accesses, 1);
	assert_int_equal(d.failed_maps, 0);
	source_close(s);
#undef FAILED
#undef FAILED_MAP
}

/* Texts are bounded, and the mark of UTF-8 does no harm. */
static void test_texts(void **state)
{
	struct files *f = *state;
	char text[70000], name[257];
	int len;

	memset(name, 'x', 256);
	name[256] = '\0';
	len = snprintf(text, sizeof(text), "%s{\"t\":1,\"comm\":\"%s\",\"e\":\"lost\"}\n", HEADER, name + 1);
	taken(f, text, 1);
	len = snprintf(text, sizeof(text), "%s{\"t\":1,\"comm\":\"%s\",\"e\":\"lost\"}\n", HEADER, name);
	refused(f, text, (size_t)len, ":2: lost: comm: is longer than 255 bytes");
	len = snprintf(text, sizeof(text), "{\"ioflush_trace\":1,\"page_size\":4096,\"host\":\"%065537d\"}\n", 1);
	refused(f, text, (size_t)len, ":1: header: host: is longer than 65536 bytes");
	taken(f, "\xef\xbb\xbf" HEADER MAP, 1);
	refused(f, HEADER "\xef\xbb\xbf" MAP, strlen(HEADER MAP) + 3, ":2:1: not a JSON object");
}

/* What was read before an error stands. */
static void test_events_before_error(void **state)
{
	struct files *f = *state;
	struct error e;
	long before = 0;

	put_file(f->a, HEADER MAP MAP MAP "x\n", strlen(HEADER MAP MAP MAP "x\n"));
	assert_int_equal(read_all(f->a, &e, &before), -1);
	assert_int_equal(before, 3);
}

static void test_long_line(void **state)
{
	struct files *f = *state;
	size_t len = 3 << 20;
	char *text = malloc(len);

	memset(text, 'x', len);
	memcpy(text, HEADER, strlen(HEADER));
	refused(f, text, len, ":2: over 1048576 bytes without a newline");
	memset(text, '{', len);
	refused(f, text, len, ":1: over 1048576 bytes without a newline");
	memset(text, '[', len);
	memcpy(text, HEADER "{\"a\":", strlen(HEADER) + 5);
	text[100000] = '\n'; /* deep nesting within a line */
	refused(f, text, len, ":2:2054: nested more than 2048 deep");
	free(text);
}

/* Random damage: an error or events, never a crash. */
static void test_damage(void **state)
{
	struct files *f = *state;
	char text[] = HEADER MAP
		"{\"t\":1,\"cpu\":0,\"tid\":7,\"comm\":\"x\\u00e9\",\"e\":\"detach\",\"device\":\"d\"}\n" MAP;
	uint64_t seed = 7;
	struct error e;
	int i;

	for (i = 0; i < 1000; i++) {
		size_t at = random_next(&seed) % (sizeof(text) - 1);
		char was = text[at];

		text[at] = (char)random_next(&seed);
		put_file(f->a, text, sizeof(text) - 1);
		if (read_all(f->a, &e, NULL) < 0)
			assert_true(e.text[0]);
		text[at] = was;
	}
}

static void test_skip_capture(void **state)
{
	struct files *f = *state;
	struct error e = {""};
	struct capture c;
	struct event ev[4];
	struct source *s;

	put_file(f->a, HEADER MAP MAP HEADER MAP, strlen(HEADER MAP MAP HEADER MAP));
	assert_int_equal(source_open(&s, f->a, &e), 0);
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(source_read(s, ev, 1, &e), 1);
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(c.id, 2);
	assert_int_equal(source_read(s, ev, 4, &e), 1);
	assert_int_equal(source_read(s, ev, 4, &e), 0);
	assert_int_equal(source_capture(s, &c, &e), 0);
	source_close(s);
}

static void test_full_disk(void **state)
{
	struct files *f = *state;
	struct rlimit old, small;
	struct capture c = {.host = "h"};
	struct event ev = {.kind = EV_lost, .missing = 7};
	struct jsonl_writer *w;
	struct error e = {""};
	int i, rc = 0;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 100000;
	assert_int_equal(jsonl_writer_open(&w, f->b, &e), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(jsonl_write_capture(w, &c, &e), 0);
	for (i = 0; i < 100000 && !rc; i++)
		rc = jsonl_write_events(w, &ev, 1, NULL, &e);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(e.text, "b.jsonl: writing: File too large"));
	assert_int_equal(jsonl_writer_close(w, true, &e), -1);
	assert_int_equal(access(f->b, F_OK), -1); /* no part that looks whole */
	e.text[0] = '\0';
	assert_int_equal(jsonl_writer_open(&w, "/nonexistent/x", &e), -1);
	assert_string_equal(e.text, "/nonexistent/x: opening for writing: No such file or directory");
}

/* The cases of the semantics read whole, and export of what was read is read again the same. */
static void test_cases(void **state)
{
	static const struct {
		const char *name;
		long events;
	} cases[] = {{"hotplug", 26}, {"odd", 14}, {"generated-11", 318}, {"generated-13", 4423}};
	const char *data = getenv("IOFLUSH_TEST_DATA");
	char path[512];
	struct error e;
	size_t i;
	long n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(path, sizeof(path), "%s/cases/%s.jsonl", data ? data : "tests/data", cases[i].name);
		n = read_all(path, &e, NULL);
		if (n != cases[i].events)
			fail_msg("%s: %ld events, not %ld: %s", path, n, cases[i].events, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_canonical, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_forms, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_layout, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_header_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_lines_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_nul_and_truncation, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_count_in_header, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_count_written, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_lost_capture, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_dropped, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_texts, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_events_before_error, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_long_line, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_damage, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_skip_capture, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_full_disk, make_dir, remove_dir),
		cmocka_unit_test(test_cases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
