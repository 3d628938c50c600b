/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Probe sets: the two shipped ones, the directives, and that mistakes are refused with their line. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/probes/probeset.h"
#include "trace/decoder/decoder.h"

/* As long as a name may be */
#define LONG_NAME "a23456789_123456789_123456789_123456789_123456789_123456789_123"

static int read_bytes(struct probe_set *s, const char *text, size_t len, struct error *e)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	FILE *f;
	int fd, ret;

	snprintf(path, sizeof(path), "%s/test_probeset.XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	ret = probe_set_read(s, path, e);
	unlink(path);
	return ret;
}

static int read_text(struct probe_set *s, const char *text, struct error *e)
{
	return read_bytes(s, text, strlen(text), e);
}

static void refuse(const char *text, const char *part, const char *part2)
{
	struct error e = {{0}};
	struct probe_set s;

	assert_int_equal(read_text(&s, text, &e), -1);
	if (!strstr(e.text, part) || !strstr(e.text, part2))
		fail_msg("the error is \"%s\", without \"%s\" or \"%s\"", e.text, part, part2);
	assert_int_equal(s.nevents, 0);
	assert_null(s.event);
	probe_set_free(&s);
}

static void read_shipped(struct probe_set *s, const char *name)
{
	const char *src = getenv("IOFLUSH_SRCDIR");
	struct error e = {{0}};
	char path[4096];

	snprintf(path, sizeof(path), "%s/probes/%s", src ? src : ".", name);
	if (probe_set_read(s, path, &e))
		fail_msg("%s", e.text);
}

static const struct probe_event *find(const struct probe_set *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->nevents; i++)
		if (!strcmp(s->event[i].name, name))
			return &s->event[i];
	return NULL;
}

static void test_plain(void **state)
{
	struct probe_set s;
	size_t i;

	(void)state;
	read_shipped(&s, "6.12.txt");
	assert_int_equal(s.nevents, 24);
	for (i = 0; i < s.nevents; i++) {
		assert_int_equal(s.event[i].nalts, 1);
		assert_false(s.event[i].needed);
		assert_null(s.event[i].alt[0].lost);
	}
	assert_string_equal(s.event[2].name, "domain_add");
	assert_string_equal(s.event[2].alt[0].line, "f:ioflush/domain_add iopt_table_add_domain iopt domain");
	assert_int_equal(s.event[2].alt[0].file_line, 3);
	assert_true(probe_set_needs_kernel(&s));
	probe_set_free(&s);
}

/* Each alternative has the fields that the decoder needs, as far as they are said by name. */
static void check_fields(const char *event, const char *line)
{
	unsigned kind = raw_kind_by_name(event, strlen(event));
	uint16_t present = 0;
	const char *p, *lacking;
	size_t len;
	int field;

	p = strchr(line, ' ') + 1; /* to the place */
	for (p = strchr(p, ' '); p && *p; p += len) {
		p += strspn(p, " ");
		len = strcspn(p, " =");
		field = raw_field_by_name(kind, p, len, -1);
		if (field >= 0)
			present |= (uint16_t)(1u << field);
		len = strcspn(p, " ");
	}
	lacking = raw_field_lacking(kind, present);
	if (lacking)
		fail_msg("\"%s\" has no %s", line, lacking);
}

/* A return that lacks what its entry has is paired with one that has it: of the alternative, or an event of its own. */
static void check_alt(const char *event, const struct probe_alt *a)
{
	char *entry;

	if (a->line)
		check_fields(event, a->line);
	if (!a->entry)
		return;
	entry = probe_line_event(a->entry);
	assert_non_null(entry);
	check_fields(entry, a->entry);
	free(entry);
}

static size_t alts_in_rung(const struct probe_event *ev, const char *rung)
{
	size_t i, n = 0;

	for (i = 0; i < ev->nalts; i++)
		n += probe_alt_in_rung(&ev->alt[i], rung);
	return n;
}

/* Each of the first three rungs gives all events, and the last one what it can. */
static void test_ladder(void **state)
{
	static const char *const rungs[] = {"fprobe", "kprobe", "paired"};
	struct error e = {{0}};
	struct probe_set s;
	size_t i, j;

	(void)state;
	read_shipped(&s, "auto.probes");
	for (i = 0; i < 3; i++) {
		assert_int_equal(probe_set_check_rung(&s, rungs[i], &e), 0);
		for (j = 0; j < s.nevents; j++)
			if (!alts_in_rung(&s.event[j], rungs[i]))
				fail_msg("rung %s has no %s", rungs[i], s.event[j].name);
	}
	assert_int_equal(alts_in_rung(find(&s, "map"), "tracepoint"), 1);
	assert_int_equal(alts_in_rung(find(&s, "domain_add"), "tracepoint"), 0);
	/* Nobody gets that one unasked. */
	assert_int_equal(alts_in_rung(find(&s, "map"), "auto"), find(&s, "map")->nalts - 1);
	assert_int_equal(probe_set_check_rung(&s, "auto", &e), 0);
	assert_int_equal(probe_set_check_rung(&s, "probe", &e), -1);
	assert_non_null(strstr(e.text, "\"probe\"; it has: fprobe kprobe paired tracepoint"));
	assert_int_equal(probe_set_check_rung(&s, "", &e), -1);
	assert_int_equal(probe_set_check_rung(&s, " kprobe", &e), -1);
	probe_set_free(&s);
	e.text[0] = '\0';
	assert_int_equal(read_text(&s, "@rung " LONG_NAME " b\np:a/map b\n", &e), 0);
	assert_int_equal(probe_set_check_rung(&s, "c", &e), -1);
	assert_non_null(strstr(e.text, "it has: " LONG_NAME " b"));
	probe_set_free(&s);
}

static void test_rungs_and_entries(void **state)
{
	struct error e = {{0}};
	struct probe_set s;

	(void)state;
	if (read_text(&s,
		      "@rung a\tb\n@layout iopt_area node.start=24 iopt=96\n"
		      "@entry p:x/map_entry iommu_map domain=+{iopt_area.iopt}(%di):x64\n@lost nothing\n"
		      "r:x/map iommu_map rc=$retval\n"
		      "@only c\np:x/map iommu_map domain=%di\n",
		      &e))
		fail_msg("%s", e.text);
	assert_int_equal(s.nevents, 1);
	assert_string_equal(s.event[0].alt[0].entry, "p:x/map_entry iommu_map domain=+{iopt_area.iopt}(%di):x64");
	assert_string_equal(s.event[0].alt[0].lost, "nothing");
	assert_true(probe_alt_in_rung(&s.event[0].alt[0], "b"));
	assert_false(probe_alt_in_rung(&s.event[0].alt[0], "c"));
	assert_true(probe_alt_in_rung(&s.event[0].alt[1], "c"));
	assert_false(probe_alt_in_rung(&s.event[0].alt[1], "auto"));
	assert_int_equal(s.nmembers, 2);
	assert_string_equal(s.member[1].name, "iopt_area.iopt");
	assert_int_equal(s.member[1].offset, 96);
	probe_set_free(&s);
}

static void test_auto(void **state)
{
	struct probe_set plain, s;
	const struct probe_event *ev;
	size_t i, j;

	(void)state;
	read_shipped(&s, "auto.probes");
	read_shipped(&plain, "6.12.txt");
	for (i = 0; i < plain.nevents; i++) {
		if (!strncmp(plain.event[i].name, "area_un", 7) && strstr(plain.event[i].name, "_domain"))
			continue; /* recorded once, not needed */
		ev = find(&s, plain.event[i].name);
		if (!ev)
			fail_msg("auto.probes has no %s", plain.event[i].name);
		/* The form that the recordings were made with is the best. */
		assert_string_equal(ev->alt[0].line, plain.event[i].alt[0].line);
	}
	for (i = 0; i < s.nevents; i++)
		for (j = 0; j < s.event[i].nalts; j++)
			check_alt(s.event[i].name, &s.event[i].alt[j]);
	assert_true(find(&s, "map")->needed);
	assert_false(find(&s, "unpin")->needed);
	ev = find(&s, "attach_device_to_domain");
	assert_null(ev->alt[0].line);
	assert_string_equal(ev->alt[0].system, "iommu");
	assert_string_equal(ev->alt[0].event, "attach_device_to_domain");
	probe_set_free(&s);
	probe_set_free(&plain);
}

static void test_directives(void **state)
{
	struct error e = {{0}};
	struct probe_set s;

	(void)state;
	if (read_text(&s,
		      "# comment\n@needs map\n\n"
		      "f:ioflush/map iommu_map%return domain # as the kernel, no more\r\n"
		      "@lost the return\n@lost code\n"
		      "p:other/map iommu_map domain=%di\n"
		      "p:unmap /bin/x:0x10 domain=%di\n"
		      "@event attach_device_to_domain\n@lost nothing #1\n@tracepoint iommu:attach_device_to_domain\n"
		      "@needs unmap",
		      &e))
		fail_msg("%s", e.text);
	assert_int_equal(s.nevents, 3);
	assert_string_equal(s.event[0].name, "map");
	assert_true(s.event[0].needed);
	assert_int_equal(s.event[0].nalts, 2);
	assert_string_equal(s.event[0].alt[0].line, "f:ioflush/map iommu_map%return domain");
	assert_null(s.event[0].alt[0].lost);
	assert_string_equal(s.event[0].alt[1].lost, "the return code");
	assert_int_equal(s.event[0].alt[1].file_line, 7);
	assert_true(s.event[1].needed);
	assert_false(s.event[2].needed);
	assert_string_equal(s.event[2].alt[0].lost, "nothing #1");
	probe_set_free(&s);
}

static void test_bad(void **state)
{
	(void)state;
	refuse("", "no probes", "");
	refuse("# only this\n", "no probes", "");
	refuse("\nf:ioflush/mapp iommu_map\n", ":2: ", "\"mapp\"");
	refuse("f:ioflush/lost iommu_map\n", ":1: ", "\"lost\"");
	refuse("-:ioflush/map\n", ":1: ", "a line is a probe");
	refuse("f:ioflush/map\n", ":1: ", "a line is a probe");
	refuse("f iommu_map\n", ":1: ", "a line is a probe");
	refuse("s:ioflush/map u64 x\n", ":1: ", "a line is a probe");
	refuse("iommu_map\n", ":1: ", "a line is a probe");
	refuse("@need map\n", ":1: ", "@need:");
	refuse("@needs\n", ":1: ", "name the events");
	refuse("@needs map\np:x/unmap y\n", ":1: @needs map", "no line");
	refuse("@needs mup\n", ":1: ", "\"mup\"");
	refuse("@tracepoint iommu:map\n", ":1: ", "@event");
	refuse("@event map\n@tracepoint iommu\n", ":2: ", "SYSTEM:EVENT");
	refuse("@event map\n@tracepoint ../x:map\n", ":2: ", "SYSTEM:EVENT");
	refuse("@event nothing\n", ":1: ", "\"nothing\"");
	refuse("@lost\n", ":1: ", "say what");
	refuse("@lost x\n@event map\n", ":2: ", "no alternative");
	refuse("p:a/map b\n@lost x\n", "@lost", "no alternative");
	refuse("@rung\n", ":1: ", "name the rungs");
	refuse("@rung a-b\n", ":1: ", "rung a-b");
	refuse("@only auto\n", ":1: ", "is taken");
	refuse("@entry x\n", ":1: ", "a line is a probe");
	refuse("@entry p:a/map_entry b\n@event map\n", ":2: ", "the @entry before this line");
	refuse("@entry p:a/map_entry b\n@entry p:a/map_entry b\n", ":2: ", "the @entry before this line");
	refuse("@entry p:a/map_entry b\nr:a/unmap b\n", ":2: ", "would be called unmap_entry");
	refuse("@entry p:a/map b\nr:a/map b\n", ":2: ", "would be called map_entry");
	refuse("p:a/map b\n@entry p:a/map_entry b\n", "@entry", "no alternative");
	refuse("@layout x\n", ":1: ", "STRUCT MEMBER=OFFSET");
	refuse("@layout x y\n", ":1: ", "y: MEMBER=OFFSET");
	refuse("@layout x y=1 z=-1\n", ":1: ", "z=-1: MEMBER=OFFSET");
	refuse("@layout x =1\n", ":1: ", "=1: MEMBER=OFFSET");
	refuse("p:a/map b x=+{iopt_area}(%di)\n", ":1: ", "{STRUCT.MEMBER}");
	refuse("p:a/map b x=+{a.b(%di)\n", ":1: ", "{STRUCT.MEMBER}");
	refuse("p:a/map b x=+{.b}(%di)\n", ":1: ", "{STRUCT.MEMBER}");
	refuse("p:a/map b x=+{a.}(%di)\n", ":1: ", "{STRUCT.MEMBER}");
	refuse("p:a/map b x=}\n", ":1: ", "{STRUCT.MEMBER}");
}

static void test_bad_files(void **state)
{
	struct error e = {{0}}, e2 = {{0}};
	char *big = malloc(9000);
	struct probe_set s;

	(void)state;
	assert_int_equal(probe_set_read(&s, "/nowhere/at/all", &e), -1);
	assert_non_null(strstr(e.text, "/nowhere/at/all: No such file"));
	assert_non_null(big);
	memset(big, 'x', 8999);
	big[8999] = 0;
	memcpy(big, "p:a/map ", 8);
	assert_int_equal(read_text(&s, big, &e2), -1);
	assert_non_null(strstr(e2.text, ":1: the line is longer"));
	free(big);
	e2.text[0] = '\0';
	assert_int_equal(read_bytes(&s, "p:a/map b\np:a/unmap b\0 c\n", 25, &e2), -1);
	assert_non_null(strstr(e2.text, ":2: a NUL byte"));
}

static void expect_line(const char *line, const char *group, const char *want)
{
	char *got = probe_line_in_group(line, group);

	if (!want)
		assert_null(got);
	else
		assert_string_equal(got, want);
	free(got);
}

static void test_group(void **state)
{
	(void)state;
	expect_line("f:ioflush/map iommu_map domain", "g_1", "f:g_1/map iommu_map domain");
	expect_line("f:map  iommu_map domain", "g", "f:g/map iommu_map domain");
	expect_line("r16:a.map iommu_map", "g", "r16:g/map iommu_map");
	expect_line("p:a/map\t/bin/x:0x10 a=+8(%di):x64", "g", "p:g/map /bin/x:0x10 a=+8(%di):x64");
	expect_line("e:a/map sys.ev x=$y", "g", "e:g/map sys.ev x=$y");
	expect_line("-:a/map x", "g", NULL);
	expect_line("", "g", NULL);
	expect_line("p:a/ x", "g", NULL);
	assert_true(probe_line_is_uprobe("p:a/map /bin/x:0x10"));
	assert_true(probe_line_is_uprobe("r8:a/map /bin/x:0x10"));
	assert_false(probe_line_is_uprobe("p:a/map iommu_map"));
	assert_false(probe_line_is_uprobe("f:a/map /bin/x:0x10"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ladder),	   cmocka_unit_test(test_rungs_and_entries),
		cmocka_unit_test(test_plain),	   cmocka_unit_test(test_auto),
		cmocka_unit_test(test_directives), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_bad_files),  cmocka_unit_test(test_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
