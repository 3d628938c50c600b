/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sub-buffers of the kernel's ring buffer: each kind of record, in both byte orders and word sizes, up to the last byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/decoder/subbuf.h"

#define TIME "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
#define COMMIT(at, size) "\tfield: local_t commit;\toffset:" at ";\tsize:" size ";\tsigned:1;\n"
#define OVERWRITE "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
#define DATA(at, size) "\tfield: char data;\toffset:" at ";\tsize:" size ";\tsigned:0;\n"
#define WHOLE TIME COMMIT("8", "8") OVERWRITE DATA("16", "4080")

enum { PADDING = 29, EXTEND, STAMP };
#define MISSED (1u << 31)
#define STORED (1u << 30)

static struct error e;

/* ---- the format ---- */

static void expect_format(const char *text, uint32_t size, uint32_t commit_size, uint32_t data, uint32_t whole)
{
	struct subbuf_format f;

	e.text[0] = '\0';
	if (subbuf_format(&f, text, strlen(text), size, true, &e))
		fail_msg("%s: %s", text, e.text);
	assert_int_equal(f.size, whole);
	assert_int_equal(f.commit, 8);
	assert_int_equal(f.commit_size, commit_size);
	assert_int_equal(f.data, data);
	assert_true(f.bigendian);
}

static void test_formats(void **state)
{
	char text[4097];

	(void)state;
	expect_format(WHOLE, 0, 8, 16, 4096);
	expect_format(WHOLE, 65536, 8, 16, 65536);
	expect_format(WHOLE, 16777216, 8, 16, 16777216);
	expect_format(WHOLE, 24, 8, 16, 24);
	expect_format(COMMIT("8", "8") DATA("16", "96"), 0, 8, 16, 112);
	expect_format(TIME COMMIT("8", "4") DATA("12", "4084"), 0, 4, 12, 4096);
	expect_format(TIME COMMIT("8", "8") DATA("20", "16777196"), 0, 8, 20, 16777216);
	/* the longest text, without a NUL behind it */
	memset(text, ' ', sizeof(text));
	memcpy(text, WHOLE, strlen(WHOLE));
	assert_int_equal(subbuf_format(&(struct subbuf_format){0}, text, 4096, 0, false, &e), 0);
}

static void test_refused_formats(void **state)
{
	static const struct {
		const char *text;
		uint32_t size;
		const char *message;
	} bad[] = {
		{"", 0, "header_page: field commit is not there or not readable"},
		{TIME DATA("16", "4080"), 0, "header_page: field commit is not there or not readable"},
		{TIME COMMIT("8", "8"), 0, "header_page: field data is not there or not readable"},
		{"field: x commit;\n" DATA("16", "4080"), 0, "header_page: field commit is not there or not readable"},
		{"field: x commit;\toffset:8;\n" DATA("16", "4080"), 0,
		 "header_page: field commit is not there or not readable"},
		{COMMIT("8", "8") "field: char data;\n" TIME, 0, "header_page: field data is not there or not readable"},
		{COMMIT("8", "8") "field: char data;\toffset:16;\n" TIME, 0,
		 "header_page: field data is not there or not readable"},
		{COMMIT("-8", "8") DATA("16", "4080"), 0, "header_page: field commit is not there or not readable"},
		{COMMIT(" 8", "8") DATA("16", "4080"), 0, "header_page: field commit is not there or not readable"},
		{COMMIT("8x", "8") DATA("16", "4080"), 0, "header_page: field commit is not there or not readable"},
		{COMMIT("8", ":") DATA("16", "4080"), 0, "header_page: field commit is not there or not readable"},
		{COMMIT("8", "8") DATA("16", "16777217"), 0, "header_page: field data is not there or not readable"},
		{COMMIT("8", "2") DATA("16", "4080"), 0, "header_page: commit has 2 bytes, not 4 or 8"},
		{COMMIT("8", "5") DATA("16", "4080"), 0, "header_page: commit has 5 bytes, not 4 or 8"},
		{COMMIT("0", "8") DATA("16", "4080"), 0,
		 "header_page: commit at 0, data at 16 do not fit a sub-buffer of 4096 bytes"},
		{COMMIT("8", "8") DATA("15", "4080"), 0,
		 "header_page: commit at 8, data at 15 do not fit a sub-buffer of 4095 bytes"},
		{COMMIT("8", "8") DATA("16", "16777216"), 0,
		 "header_page: commit at 8, data at 16 do not fit a sub-buffer of 16777232 bytes"},
		{COMMIT("8", "8") DATA("16", "16777201"), 0,
		 "header_page: commit at 8, data at 16 do not fit a sub-buffer of 16777217 bytes"},
		{WHOLE, 23, "header_page: commit at 8, data at 16 do not fit a sub-buffer of 23 bytes"},
	};
	char text[4097];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e.text[0] = '\0';
		if (!subbuf_format(&(struct subbuf_format){0}, bad[i].text, strlen(bad[i].text), bad[i].size, false, &e))
			fail_msg("%s: no error", bad[i].text);
		assert_string_equal(e.text, bad[i].message);
	}
	memset(text, ' ', sizeof(text));
	memcpy(text, WHOLE, strlen(WHOLE));
	e.text[0] = '\0';
	assert_int_equal(subbuf_format(&(struct subbuf_format){0}, text, 4097, 0, false, &e), -1);
	assert_string_equal(e.text, "header_page: 4097 bytes: the kernel's is below 4096");
}

/* ---- what is in one ---- */

/* A sub-buffer of so many bytes, allocated by itself, so that a sanitizer sees what reads past its end. */
struct page {
	struct subbuf_format f;
	uint8_t *data;
	uint32_t len;
};

static void put(struct page *p, uint32_t at, uint64_t v, unsigned size)
{
	assert_true(at + size <= p->f.size);
	for (unsigned i = 0; i < size; i++)
		p->data[at + i] = (uint8_t)(v >> 8 * (p->f.bigendian ? size - 1 - i : i));
}

static struct page begin(bool big, uint32_t word, uint32_t size, uint64_t t)
{
	struct page p = {
		{.size = size, .commit = 8, .commit_size = word, .data = 8 + word, .bigendian = big}, NULL, 8 + word};

	p.data = calloc(1, size);
	assert_non_null(p.data);
	put(&p, 0, t, 8);
	return p;
}

static void put_word(struct page *p, uint32_t v)
{
	put(p, p->len, v, 4);
	p->len += 4;
}

static void put_head(struct page *p, uint32_t type, uint32_t delta)
{
	put_word(p, p->f.bigendian ? type << 27 | delta : delta << 5 | type);
}

/* What is committed, with flags. */
static void commit(struct page *p, uint32_t flags)
{
	put(p, 8, (p->len - p->f.data) | flags, p->f.commit_size);
}

static int load(struct subbuf *sb, const struct page *p)
{
	e.text[0] = '\0';
	return subbuf_load(sb, &p->f, p->data, &e);
}

/* The next record is so many bytes at an offset, at a time; it takes all bytes up to the next one. */
static void expect_record(struct subbuf *sb, const struct page *p, uint64_t t, uint32_t offset, uint32_t head,
			  uint32_t size)
{
	struct tep_record rec = {0};

	if (subbuf_next(sb, &rec, &e) != 1)
		fail_msg("no record at %u: %s", offset, e.text);
	assert_true(rec.ts == t);
	assert_int_equal(rec.offset, offset);
	assert_ptr_equal(rec.data, p->data + offset + head);
	assert_int_equal(rec.size, size);
	assert_int_equal(rec.record_size, head + (size + 3) / 4 * 4);
}

static void expect_end(struct subbuf *sb)
{
	struct tep_record rec = {0};

	assert_int_equal(subbuf_next(sb, &rec, &e), 0);
	assert_string_equal(e.text, "");
}

static void expect_records(bool big, uint32_t word)
{
	struct page p = begin(big, word, 256, 1000);
	const uint32_t at = p.f.data;
	struct subbuf sb;

	put_head(&p, 1, 5); /* 4 bytes */
	put_word(&p, 7);
	put_head(&p, 28, 0); /* the most that a head can say */
	p.len += 112;
	put_head(&p, 0, 3); /* 5 bytes, in 8 */
	put_word(&p, 9);
	p.len += 8;
	put_head(&p, PADDING, 10); /* taken back, but its time passed */
	put_word(&p, 8);
	p.len += 4;
	put_head(&p, EXTEND, 2);
	put_word(&p, 1);
	put_head(&p, 2, 1);
	p.len += 8;
	put_head(&p, STAMP, 9000);
	put_word(&p, 0);
	put_head(&p, 0, 1); /* of no bytes */
	put_word(&p, 4);
	commit(&p, 0);
	assert_int_equal(load(&sb, &p), 0);
	assert_int_equal(sb.lost, 0);
	expect_record(&sb, &p, 1005, at, 4, 4);
	expect_record(&sb, &p, 1005, at + 8, 4, 112);
	expect_record(&sb, &p, 1008, at + 124, 8, 5);
	expect_record(&sb, &p, 1008 + 10 + 2 + (1 << 27) + 1, at + 160, 4, 8);
	expect_record(&sb, &p, 9001, at + 180, 8, 0);
	expect_end(&sb);
	free(p.data);
}

static void test_records(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		expect_records(i & 1, i & 2 ? 8 : 4);
}

/* Nothing is behind the committed bytes, an empty rest, or less than a word. */
static void test_ends(void **state)
{
	struct subbuf sb;
	struct page p;

	(void)state;
	p = begin(false, 8, 64, 1);
	commit(&p, 0);
	assert_int_equal(load(&sb, &p), 0);
	expect_end(&sb);
	free(p.data);
	p = begin(false, 8, 64, 1);
	put_head(&p, 1, 0);
	put_word(&p, 0);
	put_head(&p, PADDING, 0);
	put_head(&p, 1, 0);
	put_word(&p, 0);
	commit(&p, 0);
	assert_int_equal(load(&sb, &p), 0);
	expect_record(&sb, &p, 1, 16, 4, 4);
	expect_end(&sb);
	free(p.data);
	p = begin(false, 8, 64, 1);
	p.len += 3;
	commit(&p, 0);
	assert_int_equal(load(&sb, &p), 0);
	expect_end(&sb);
	free(p.data);
}

/* The upper five bits of an absolute time are those of the time before, or one more if it would go back. */
static void test_absolute_times(void **state)
{
	static const struct {
		uint64_t before, stored, want;
	} stamp[] = {
		{5, 9, 9},
		{9, 5, 5}, /* says who reads it */
		{3ull << 59 | 5, 9, 3ull << 59 | 9},
		{3ull << 59 | 5, 5, 3ull << 59 | 5},
		{3ull << 59 | 9, 5, 4ull << 59 | 5},
		{1ull << 59, (1ull << 59) - 1, (2ull << 59) - 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(stamp) / sizeof(stamp[0]); i++) {
		struct page p = begin(i % 2, 8, 64, stamp[i].before);
		struct subbuf sb;

		put_head(&p, STAMP, (uint32_t)stamp[i].stored & ((1u << 27) - 1));
		put_word(&p, (uint32_t)(stamp[i].stored >> 27));
		put_head(&p, 1, 0);
		put_word(&p, 0);
		commit(&p, 0);
		assert_int_equal(load(&sb, &p), 0);
		expect_record(&sb, &p, stamp[i].want, 24, 4, 4);
		free(p.data);
	}
}

/* A record that the committed bytes do not hold, although the sub-buffer would. */
static void test_cut_records(void **state)
{
	static const struct {
		uint32_t type, length; /* of the word behind the head, if there is one */
		uint32_t rest;	       /* bytes behind the head */
	} cut[] = {
		{1, 0, 3},	  {2, 0, 4},	   {28, 0, 108},    {0, 0, 0},	     {0, 4, 3},
		{0, 0, 8},	  {0, 3, 8},	   {0, 9, 8},	    {0, 9, 11},	     {0, 0xffffffff, 8},
		{0, 1u << 31, 8}, {PADDING, 0, 8}, {PADDING, 3, 8}, {PADDING, 9, 8}, {PADDING, 4, 3},
		{EXTEND, 0, 3},	  {STAMP, 0, 0},
	};
	char want[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct page p = begin(i % 2, 8, 256, 1);
		struct tep_record rec;
		struct subbuf sb;

		put_head(&p, 1, 1);
		put_word(&p, 0);
		put_head(&p, cut[i].type, 1);
		put(&p, p.len, cut[i].length, 4);
		p.len += cut[i].rest;
		commit(&p, 0);
		assert_int_equal(load(&sb, &p), 0);
		expect_record(&sb, &p, 2, 16, 4, 4);
		if (subbuf_next(&sb, &rec, &e) != -1)
			fail_msg("number %zu is taken", i);
		snprintf(want, sizeof(want), "record at byte 24 goes past the %u bytes in use", p.len);
		assert_string_equal(e.text, want);
		free(p.data);
	}
}

static void test_full(void **state)
{
	struct page p = begin(false, 8, 64, 1);
	struct subbuf sb;

	(void)state;
	put_head(&p, 11, 0);
	p.len = 64;
	commit(&p, 0);
	assert_int_equal(load(&sb, &p), 0);
	expect_record(&sb, &p, 1, 16, 4, 44);
	expect_end(&sb);
	put(&p, 8, 49, 8);
	assert_int_equal(load(&sb, &p), -1);
	assert_string_equal(e.text, "says that it holds 49 bytes, but has room for 48");
	free(p.data);
}

static void expect_lost(struct page *p, uint32_t flags, uint64_t stored, int64_t want)
{
	struct subbuf sb;

	commit(p, flags);
	if (p->len + p->f.commit_size <= p->f.size)
		put(p, p->len, stored, p->f.commit_size);
	assert_int_equal(load(&sb, p), 0);
	assert_true(sb.lost == want);
	assert_true(sb.ts == 1);
	expect_record(&sb, p, 1, p->f.data, 4, p->len - p->f.data - 4);
	expect_end(&sb);
}

/* How many records were lost lies behind the last one, if there is room. */
static void test_lost(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct page p = begin(i & 1, i & 2 ? 8 : 4, 64, 1);

		put_head(&p, 1, 0);
		put_word(&p, 0);
		expect_lost(&p, 0, 7, 0);
		expect_lost(&p, STORED, 7, 0);
		expect_lost(&p, MISSED, 7, SUBBUF_LOST_UNKNOWN);
		expect_lost(&p, MISSED | STORED, 7, 7);
		expect_lost(&p, MISSED | STORED, 0x80000001, 0x80000001);
		expect_lost(&p, MISSED | STORED, 0, SUBBUF_LOST_UNKNOWN);
		if (i & 2) {
			expect_lost(&p, MISSED | STORED, INT64_MAX, INT64_MAX);
			expect_lost(&p, MISSED | STORED, 1ull << 63, SUBBUF_LOST_UNKNOWN);
		}
		for (uint32_t room = 8; room; room -= 4) {
			p.len = 64 - room;
			put(&p, p.f.data, p.f.bigendian ? (p.len - p.f.data - 4) / 4 << 27 : (p.len - p.f.data - 4) / 4,
			    4);
			expect_lost(&p, MISSED | STORED, 7, room < p.f.commit_size ? SUBBUF_LOST_UNKNOWN : 7);
		}
		free(p.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),	       cmocka_unit_test(test_refused_formats),
		cmocka_unit_test(test_records),	       cmocka_unit_test(test_ends),
		cmocka_unit_test(test_absolute_times), cmocka_unit_test(test_cut_records),
		cmocka_unit_test(test_full),	       cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests_name("subbuf", tests, NULL, NULL);
}
