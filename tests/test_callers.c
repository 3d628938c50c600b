/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who called: functions by their addresses in kallsyms, and the caller of an unpin as a binary record (an address) and as text
 * (what the kernel prints for it) have it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/caller.h"
#include "trace/decoder/decoder.h"
#include "trace/formats/open.h"
#include "trace/formats/tracefile.h"
#include "trace/source.h"
#include "trace/store/store.h"

static const char kallsyms[] = "ffffffff81000000 T _text\n"
			       "ffffffff81200000 T unpin_user_page_range_dirty_lock\n"
			       "ffffffff81200100 t after\n"
			       "ffffffffc0003000 t pfn_reader_unpin\t[iommufd]\n"
			       "ffffffffc0001000 t batch_unpin\t[iommufd]\n"
			       "ffffffffc0001080 d not_a_function\t[iommufd]\n"
			       "no symbol\n"
			       "\n"
			       "ffffffffc0002000 batch_next [iommufd]\n" /* as tracefs has it */
			       "ffffffffc0503000 T __ib_umem_release\t[ib_uverbs]";

/* The answer must not depend on the pieces. */
static void expect_symbol(uint64_t address, const char *want)
{
	const size_t len = sizeof(kallsyms) - 1;

	for (size_t piece = 1; piece <= len; piece += piece < 40 ? 1 : 97) {
		struct symbol_search s;
		const char *got;

		symbol_begin(&s, address);
		for (size_t at = 0; at < len; at += piece)
			symbol_text(&s, kallsyms + at, len - at < piece ? len - at : piece);
		got = symbol_end(&s);
		if (!want)
			assert_null(got);
		else
			assert_string_equal(got ? got : "(none)", want);
	}
}

static void test_symbols(void **state)
{
	struct symbol_search s;
	char line[2 * SYMBOL_LINE_MAX];

	(void)state;
	expect_symbol(0xffffffffc0001045, "batch_unpin [iommufd]");
	expect_symbol(0xffffffffc00010c5, "batch_unpin [iommufd]"); /* data is no function */
	expect_symbol(0xffffffffc0002000, "batch_unpin [iommufd]"); /* the call was its last instruction */
	expect_symbol(0xffffffffc0002001, "batch_next [iommufd]");
	expect_symbol(0xffffffff81200100, "unpin_user_page_range_dirty_lock");
	expect_symbol(0xffffffffc0503500, "__ib_umem_release [ib_uverbs]");
	expect_symbol(0xffffffff80ffffff, NULL);
	expect_symbol(0, NULL);
	expect_symbol(0xffffffffc0100000, NULL); /* too far from what is named: not known */
	expect_symbol(UINT64_MAX, NULL);
	/* who may not see addresses sees zeros */
	symbol_begin(&s, 0xffffffffc0001045);
	symbol_text(&s, "0000000000000000 t batch_unpin\t[iommufd]\n", 41);
	assert_null(symbol_end(&s));
	/* a name or a line that is too long is none, and hides nothing after it */
	memset(line, 'x', sizeof(line));
	memcpy(line, "ffffffffc0001001 t ", 19);
	symbol_begin(&s, 0xffffffffc0001045);
	symbol_text(&s, line, sizeof(line));
	symbol_text(&s, "\nffffffffc0001000 t f\n", 23);
	assert_string_equal(symbol_end(&s), "f");
	line[300] = '\n';
	symbol_begin(&s, 0xffffffffc0001045);
	symbol_text(&s, line, 301);
	symbol_text(&s, "ffffffffc0001000 t f\n", 21);
	assert_null(symbol_end(&s)); /* the nearest has a name that is no answer */
}

/* --- binary records */

struct fixture {
	struct intern *strings;
	struct decoder *d;
	struct tep_handle *tep;
	struct event ev[DECODER_MAX_EVENTS];
	struct error e;
	uint64_t t;
	unsigned asked;
	bool known, trampoline;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->strings = intern_new();
	f->d = decoder_new(f->strings, NULL);
	f->tep = tep_alloc();
	tep_set_loglevel(TEP_LOG_NONE);
	tep_set_local_bigendian(f->tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_file_bigendian(f->tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tep_free(f->tep);
	decoder_free(f->d);
	intern_free(f->strings);
	free(f);
	return 0;
}

static bool name_of(void *ctx, uint64_t address, char out[SYMBOL_MAX])
{
	struct fixture *f = ctx;

	f->asked++;
	if (f->trampoline)
		strcpy(out, "arch_rethook_trampoline");
	else if (f->known)
		snprintf(out, SYMBOL_MAX, "f%llx [m]", (unsigned long long)address);
	return f->known || f->trampoline;
}

#define UNPIN                                                                          \
	"name: unpin\nID: 300\nformat:\n"                                              \
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"         \
	"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"         \
	"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n" \
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"                   \
	"\tfield:unsigned long __probe_ip;\toffset:8;\tsize:8;\tsigned:0;\n"           \
	"\tfield:u64 pfn;\toffset:16;\tsize:8;\tsigned:0;\n"                           \
	"\tfield:u64 npages;\toffset:24;\tsize:8;\tsigned:0;\n"                        \
	"\tfield:u64 caller;\toffset:32;\tsize:8;\tsigned:0;\n\nprint fmt: \"\"\n"

/* The caller of the unpin that a record gives; NULL: unknown. */
static const char *caller(struct fixture *f, uint64_t address)
{
	uint64_t data[5] = {0, 0, 7, 1, address};
	struct tep_record rec = {.ts = ++f->t, .data = data, .size = sizeof(data)};
	uint16_t id = 300;

	memcpy(data, &id, 2);
	if (decoder_record(f->d, f->tep, &rec, f->ev, &f->e) != 1)
		fail_msg("%s", f->e.text);
	assert_int_equal(f->ev[0].kind, EV_unpin);
	assert_int_equal(f->ev[0].unpin.pfn, 7);
	assert_int_equal(!f->ev[0].unpin.caller, !event_has(&f->ev[0], unpin, caller));
	return intern_get(f->strings, (uint32_t)f->ev[0].unpin.caller);
}

static void test_records(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tep_parse_event(f->tep, UNPIN, sizeof(UNPIN) - 1, "ioflush"), 0);
	assert_null(caller(f, 0x1000)); /* nobody to ask */
	decoder_name_callers(f->d, name_of, f, true);
	for (unsigned i = 0; i < 20; i++)
		assert_null(caller(f, 0x1000));
	assert_int_equal(f->asked, 3); /* the 1st, 4th and 16th time */
	f->known = true;
	for (unsigned i = 0; i < 100; i++) {
		assert_string_equal(caller(f, 0x2000), "f2000 [m]");
		assert_string_equal(caller(f, 0x3000), "f3000 [m]");
	}
	assert_int_equal(f->asked, 5);
	for (unsigned i = 0; i < 100; i++) /* its module came */
		if (caller(f, 0x1000))
			break;
	assert_string_equal(caller(f, 0x1000), "f1000 [m]");
	assert_int_equal(f->asked, 6);
	f->trampoline = true;
	assert_null(caller(f, 0x4000));
	f->trampoline = false;
	/* a file does not change */
	decoder_name_callers(f->d, name_of, f, false);
	f->known = false;
	f->asked = 0;
	for (unsigned i = 0; i < 20; i++)
		assert_null(caller(f, 0x1000));
	assert_int_equal(f->asked, 1);
	f->known = true;
	f->asked = 3;
	assert_string_equal(caller(f, 0x2000), "f2000 [m]");
	assert_string_equal(caller(f, 0x3000), "f3000 [m]");
	/* only so many are kept: the others are unknown, and cost nothing */
	for (unsigned i = 0; i < 1000; i++)
		caller(f, 0x100000 + i);
	assert_int_equal(f->asked, 64 + 2);
	assert_null(caller(f, 0x100000 + 999));
	assert_string_equal(caller(f, 0x2000), "f2000 [m]");
}

/* --- the symbols of a trace.dat */

static bool wants_unpin(const char *name, size_t len)
{
	return len == 5 && !memcmp(name, "unpin", 5);
}

static void test_tracefile(void **state)
{
	const char *dir = getenv("IOFLUSH_TEST_DATA");
	char path[4096], name[SYMBOL_MAX];
	struct error e = {""};
	struct tracefile *tf;

	(void)state;
	snprintf(path, sizeof(path), "%s/traces/churn.dat", dir ? dir : "tests/data");
	if (tracefile_open(&tf, open(path, O_RDONLY), path, NULL, wants_unpin, &e))
		fail_msg("%s", e.text);
	assert_true(tracefile_symbol(tf, 0xffffffff81203456, name));
	assert_string_equal(name, "isolate_freepages_block");
	assert_false(tracefile_symbol(tf, 0xffffffffc0001045, name));
	assert_true(tf->symbols != 0);
	tf->symbols += 100; /* no section is there */
	assert_false(tracefile_symbol(tf, 0xffffffff81203456, name));
	assert_int_equal(tf->symbols, 0);
	tracefile_close(tf);
}

/* --- text */

static void expect_text(const char *field, const char *want)
{
	char path[] = "/tmp/ioflush-callers.XXXXXX";
	struct error e = {""};
	struct event ev[4];
	struct source *s;
	struct capture c;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	dprintf(fd,
		" churn-80 [001] ..... 1.5: unpin: (unpin_user_page_range_dirty_lock+0x0/0x110) %s pfn=12 npages=2\n"
		" churn-80 [001] ..... 1.6: rw_access: (f+0x0/0x9) pages=0x10 start=0x5 length=4096 flags=1\n"
		" churn-80 [001] ..... 1.7: rw_access_end: (g+0x12/0x20 <- f) rc=0xfffffff2\n",
		field);
	close(fd);
	if (source_open(&s, path, &e) || source_capture(s, &c, &e) != 1 || source_read(s, ev, 4, &e) != 3)
		fail_msg("%s: %s", field, e.text);
	unlink(path);
	assert_int_equal(ev[0].kind, EV_unpin);
	assert_int_equal(ev[0].unpin.pfn, 12);
	assert_int_equal(ev[0].unpin.npages, 2);
	if (want)
		assert_string_equal(intern_get(s->strings, (uint32_t)ev[0].unpin.caller), want);
	else
		assert_false(event_has(&ev[0], unpin, caller));
	assert_int_equal(ev[1].kind, EV_rw_access);
	assert_int_equal(ev[1].rw_access.length, 4096);
	assert_int_equal(ev[2].kind, EV_rw_access_end);
	assert_int_equal(ev[2].rw_access_end.pages, 16); /* from its entry */
	assert_int_equal(ev[2].rw_access_end.rc, -14);
	source_close(s);
}

/* Names that tell who called, and what readers find where nobody knows. */
static const char *const known[] = {"batch_unpin [iommufd]",
				    "batch_unpin+0x2d/0x90 [iommufd]",
				    "__ib_umem_release [ib_uverbs]",
				    "add",
				    "_x",
				    ".f",
				    "facade_of_x",
				    "batch_unpin"};
static const char *const unknown[] = {"",
				      "0xffffffffc0001045",
				      "0x0",
				      "ffffffffc0001045",
				      "18446744072635809792",
				      "[unknown/kprobe'd]",
				      "[unknown/kretprobe'd]",
				      "[unknown]",
				      "(null)",
				      "(fault)",
				      "(____ptrval____)",
				      "<unknown>",
				      "arch_rethook_trampoline",
				      "arch_rethook_trampoline+0x0/0x70",
				      "kretprobe_trampoline",
				      "__kretprobe_trampoline+0x0",
				      "return_to_handler",
				      "return_to_handler+0x0/0x40",
				      "mod_return_to_handler",
				      "bpf_trampoline_6442536453 [bpf]",
				      "ftrace_trampoline [__builtin__ftrace]",
				      "kprobe_insn_page [__builtin__kprobes]"};
#define N(a) (sizeof(a) / sizeof((a)[0]))

static void test_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(known); i++)
		if (!caller_is_known(known[i], strlen(known[i])))
			fail_msg("%s", known[i]);
	for (size_t i = 0; i < N(unknown); i++)
		if (caller_is_known(unknown[i], strlen(unknown[i])))
			fail_msg("%s", unknown[i]);
}

/* The caller of the unpin that a file has. */
static void expect_file(const char *path, const char *want)
{
	struct error e = {""};
	struct event ev[2];
	struct source *s;
	struct capture c;

	if (source_open(&s, path, &e) || source_capture(s, &c, &e) != 1 || source_read(s, ev, 2, &e) != 1)
		fail_msg("%s: %s", path, e.text);
	assert_int_equal(source_read(s, ev, 2, &e), 0); /* a check sum fits */
	assert_int_equal(ev[0].kind, EV_unpin);
	assert_int_equal(event_has(&ev[0], unpin, caller), want != NULL);
	if (want)
		assert_string_equal(intern_get(s->strings, (uint32_t)ev[0].unpin.caller), want);
	source_close(s);
}

static void expect_everywhere(const char *name, const char *want)
{
	char dir[] = "/tmp/ioflush-callers.XXXXXX", json[64], db[64];
	struct event ev = {.kind = EV_unpin, .unpin = {.pfn = 12, .npages = 2}};
	struct intern *strings = intern_new();
	struct capture c;
	struct store *store;
	struct error e = {""};
	uint64_t id;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(json, sizeof(json), "%s/a.jsonl", dir);
	snprintf(db, sizeof(db), "%s/a.db", dir);
	f = fopen(json, "w");
	assert_non_null(f);
	fprintf(f,
		"{\"ioflush_trace\":1,\"page_size\":4096}\n"
		"{\"t\":0,\"cpu\":0,\"tid\":0,\"e\":\"unpin\",\"pfn\":12,\"npages\":2,\"caller\":\"%s\"}\n",
		name);
	fclose(f);
	expect_file(json, want);
	/* as a recorder of an earlier version stored it */
	ev.unpin.caller = intern_add(strings, name, strlen(name));
	ev.missing = *name ? 0 : EVENT_BIT(unpin, caller);
	capture_init(&c, 1, "a", "live");
	if (store_open(&store, db, 0, &e) || store_begin(store, &e) || store_capture_begin(store, &c, &id, &e) ||
	    store_append(store, &ev, 1, strings, &e) || store_capture_end(store, "complete", "", &e) ||
	    store_commit(store, &e))
		fail_msg("%s", e.text);
	store_close(store);
	expect_file(db, want);
	unlink(json);
	unlink(db);
	assert_int_equal(rmdir(dir), 0);
	intern_free(strings);
}

static void test_everywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(unknown); i++)
		expect_everywhere(unknown[i], NULL);
	expect_everywhere("batch_unpin [iommufd]", "batch_unpin [iommufd]");
	expect_everywhere("__ib_umem_release [ib_uverbs]", "__ib_umem_release [ib_uverbs]");
}

static void test_text(void **state)
{
	char field[128];

	(void)state;
	expect_text("caller=batch_unpin+0x2d/0x90 [iommufd]", "batch_unpin [iommufd]");
	expect_text("caller=batch_unpin+0x2d", "batch_unpin");
	expect_text("caller=__ib_umem_release [ib_uverbs]", "__ib_umem_release [ib_uverbs]");
	expect_text("caller=0xffffffffc0001045", NULL);
	expect_text("caller=", NULL);
	expect_text("caller=batch_unpin [iommufd", "batch_unpin");
	expect_text("caller=\"batch_unpin [iommufd]\"", "batch_unpin [iommufd]");
	expect_text("caller=\"batch_unpin\"", "batch_unpin");
	expect_text("", NULL);
	for (size_t i = 0; i < N(unknown); i++) {
		snprintf(field, sizeof(field), "caller=%s", unknown[i]);
		expect_text(field, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols),	  cmocka_unit_test_setup_teardown(test_records, setup, teardown),
		cmocka_unit_test(test_tracefile), cmocka_unit_test(test_known),
		cmocka_unit_test(test_text),	  cmocka_unit_test(test_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
