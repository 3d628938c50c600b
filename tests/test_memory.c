/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What input can do to memory: the worst of each kind, given to every command that reads it. A file may cost
 * SOURCE_MEMORY and no more, however few bytes it has, and a refusal has an error message. The memory of a command is
 * what the kernel reports for its process, whose address space is limited, so that the test fails before the machine
 * does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1 /* its own memory is counted too, and bounds are off */
#else
#define SANITIZED 0
#endif

#define PEAK_KIB (400u << 10)
#define IMPORT_KIB (2 * PEAK_KIB) /* it keeps the strings twice: of the file, and of the database */

static uint64_t address_space = 2ull << 30;
static char dir[64], file[128], output[128], messages[128];
static char long_name[249]; /* seven digits make it as long as may be */

enum { REPLAY, IMPORT };

static const struct {
	const char *name, *arg[3];
} commands[] = {
	[REPLAY] = {"replay", {"--policy", "ideal"}},
	[IMPORT] = {"import", {"-o", output}},
	{"gaps", {"--policy", "none"}},
	{"explain", {"--pfn", "1"}},
	{"state", {NULL}},
	{"verify", {NULL}},
	{"export", {"-o", output}},
};

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	memset(long_name, 'x', sizeof(long_name) - 1);
	snprintf(dir, sizeof(dir), "%.40s/ioflush-mem-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/input", dir);
	snprintf(output, sizeof(output), "%s/output", dir);
	snprintf(messages, sizeof(messages), "%s/messages", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(file);
	unlink(strcat(file, ".db"));
	unlink(output);
	unlink(messages);
	return rmdir(dir);
}

/* --- running */

typedef void (*writer)(FILE *out);

static _Noreturn void become(char *const *argv, int in)
{
	const struct rlimit space = {address_space, address_space};
	int out = open("/dev/null", O_WRONLY), err = open(messages, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (!SANITIZED)
		setrlimit(RLIMIT_AS, &space);
	if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0)
		execv(argv[0], argv);
	_exit(127);
}

static const char *said(void)
{
	static char text[8192];
	FILE *f = fopen(messages, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	return text;
}

/*
 * Runs ioflush with the input: a file, or what write puts into its standard input. It must end with the status (-1: 0 or
 * 1), say what (NULL: anything), and have taken at most so many KiB.
 */
static void check(char *const *argv, writer write, int status, const char *what, uint64_t peak)
{
	int fds[2] = {-1, -1}, wstatus, null;
	struct rusage usage;
	FILE *out;
	pid_t pid;

	if (write)
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		become(argv, write ? fds[0] : null);
	close(null);
	if (write) {
		close(fds[0]);
		out = fdopen(fds[1], "w");
		write(out);
		fclose(out); /* it fails where the reader has given up */
	}
	assert_int_equal(wait4(pid, &wstatus, 0, &usage), pid);
	unlink(output);
	if (!WIFEXITED(wstatus) || (status < 0 ? WEXITSTATUS(wstatus) > 1 : WEXITSTATUS(wstatus) != status))
		fail_msg("%s %s: status 0x%x, not %d: %s", argv[1], argv[2], wstatus, status, said());
	if (what && !strstr(said(), what))
		fail_msg("%s: said \"%s\", not \"%s\"", argv[1], said(), what);
	if (!SANITIZED && (uint64_t)usage.ru_maxrss > peak)
		fail_msg("%s took %ld KiB, over %llu", argv[1], usage.ru_maxrss, (unsigned long long)peak);
}

/* One of the commands. */
static void check_command(size_t i, writer write, int status, const char *what)
{
	const char *argv[] = {getenv("IOFLUSH"),  commands[i].name,   write ? "-" : file,
			      commands[i].arg[0], commands[i].arg[1], NULL};

	assert_non_null(argv[0]);
	check((char *const *)argv, write, status, what, i == IMPORT ? IMPORT_KIB : PEAK_KIB);
}

/* One that runs the model, and one that stores: what is opened is the same for the others. */
static void check_two(writer write, int status, const char *what)
{
	check_command(REPLAY, write, status, what);
	check_command(IMPORT, write, status, what);
}

/* All of them. */
static void check_all(writer write, int status, const char *what)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		check_command(i, write, status, what);
}

#define TOO_MUCH "more than the 256 MiB of memory that reading a file may take"

/* --- making trace.dat */

static FILE *begin_file(void)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	return f;
}

static void put_number(FILE *f, uint64_t v, unsigned size)
{
	for (; size; v >>= 8, size--)
		fputc((int)(v & 255), f);
}

static void put_sized(FILE *f, const char *text, unsigned size)
{
	put_number(f, strlen(text), size);
	fputs(text, f);
}

static void put_at(FILE *f, long at, uint64_t v, unsigned size)
{
	long end = ftell(f);

	fseek(f, at, SEEK_SET);
	put_number(f, v, size);
	fseek(f, end, SEEK_SET);
}

static const char header_page[] = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
				  "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
				  "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";
static const char unpin_format[] = "name: unpin\nID: 77\nformat:\n"
				   "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
				   "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
				   "\tfield:u64 pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
				   "\tfield:u64 npages;\toffset:16;\tsize:8;\tsigned:0;\n";

enum { HEADER = 16, FORMATS = 18, CMDLINES = 21 };

/* Of version 7: the head, and where its options are told. */
static long head_7(FILE *f)
{
	long at;

	fwrite("\x17\x08\x44tracing7", 1, 12, f);
	put_number(f, 8 << 8, 2);
	put_number(f, 4096, 4);
	fwrite("zstd\0001", 1, 7, f);
	at = ftell(f);
	put_number(f, 0, 8);
	return at;
}

/* The head of a section. Where it is. */
static long section(FILE *f, unsigned id, bool compressed, uint64_t size)
{
	long at = ftell(f);

	put_number(f, id, 2);
	put_number(f, compressed, 2);
	put_number(f, 0, 4);
	put_number(f, size, 8);
	return at;
}

static void end_section(FILE *f, long at)
{
	put_at(f, at + 8, (uint64_t)(ftell(f) - at - 16), 8);
}

static long header_section(FILE *f)
{
	long at = section(f, HEADER, false, 0);

	fwrite("header_page", 1, 12, f);
	put_sized(f, header_page, 8);
	fwrite("header_event", 1, 13, f);
	put_sized(f, "", 8);
	end_section(f, at);
	return at;
}

static void formats(FILE *f, uint32_t n, const char *format)
{
	put_number(f, 1, 4);
	fwrite("ioflush", 1, 8, f);
	put_number(f, n, 4);
	while (n--)
		put_sized(f, format, 8);
}

static long formats_section(FILE *f)
{
	long at = section(f, FORMATS, false, 0);

	formats(f, 1, unpin_format);
	end_section(f, at);
	return at;
}

/* A section, compressed, of what write puts there. */
static long compressed_section(FILE *f, unsigned id, writer write)
{
	size_t len = 0, packed;
	char *text = NULL, *to;
	FILE *out = open_memstream(&text, &len);
	long at;

	assert_non_null(out);
	write(out);
	fclose(out);
	to = malloc(ZSTD_compressBound(len));
	assert_non_null(to);
	packed = ZSTD_compress(to, ZSTD_compressBound(len), text, len, 1);
	assert_false(ZSTD_isError(packed));
	at = section(f, id, true, packed + 8);
	put_number(f, packed, 4);
	put_number(f, len, 4);
	fwrite(to, 1, packed, f);
	free(text);
	free(to);
	return at;
}

static void option(FILE *f, unsigned id, uint32_t len)
{
	put_number(f, id, 2);
	put_number(f, len, 4);
}

static void option_offset(FILE *f, unsigned id, long offset)
{
	option(f, id, 8);
	put_number(f, (uint64_t)offset, 8);
}

/* The section of options, with those that are in every file. */
static long begin_options(FILE *f, long head, long header, long formats_at)
{
	long at = section(f, 0, false, 0);

	put_at(f, head, (uint64_t)at, 8);
	option_offset(f, HEADER, header);
	option_offset(f, FORMATS, formats_at);
	return at;
}

static void end_options(FILE *f, long at)
{
	option_offset(f, 0, 0);
	end_section(f, at);
	fclose(f);
}

/* --- the worst trace.dat */

#define CHUNK (64u << 20)

/*
 * So many CPUs, each with a chunk that is unpacked to 64 MiB: one of its own, or one for all. With a record in each all of
 * them are needed at once, or what comes first is not known.
 */
static void zeros(unsigned cpus, bool shared, bool records)
{
	FILE *f = begin_file();
	long head = head_7(f), header = header_section(f), fmt = formats_section(f), at, options, first;
	char *from = calloc(1, CHUNK), *to = malloc(1 << 16);
	uint64_t size = 0;
	unsigned i;

	assert_non_null(from);
	if (records)
		memcpy(from + 8, "\x1c\0\0\0\0\0\0\0\x06\0\0\0\x4d\0\0\0\x05\0\0\0\x01\0\0\0\0\0\0\0\x01", 29);
	size = ZSTD_compress(to, 1 << 16, from, CHUNK, 19);
	assert_false(ZSTD_isError(size));
	at = section(f, 3, true, 0);
	first = ftell(f);
	for (i = 0; i < (shared ? 1 : cpus); i++) {
		put_number(f, 1, 4);
		put_number(f, size, 4);
		put_number(f, CHUNK, 4);
		fwrite(to, 1, size, f);
	}
	end_section(f, at);
	options = begin_options(f, head, header, fmt);
	option(f, 3, 8 + 1 + 5 + 8 + 20 * cpus);
	put_number(f, (uint64_t)at, 8);
	fwrite("\0mono", 1, 6, f);
	put_number(f, 4096, 4);
	put_number(f, cpus, 4);
	for (i = 0; i < cpus; i++) {
		put_number(f, i, 4);
		put_number(f, (uint64_t)first + (shared ? 0 : i * (12 + size)), 8);
		put_number(f, 8 + size, 8);
	}
	end_options(f, options);
	free(from);
	free(to);
}

static void test_compressed_zeros(void **state)
{
	(void)state;
	zeros(64, false, true);
	check_two(NULL, 1, TOO_MUCH);
	zeros(3, false, true);
	check_command(REPLAY, NULL, 0, NULL);
	zeros(8, false, false);
	check_command(REPLAY, NULL, 0, NULL);
}

static void test_overlapping_cpus(void **state)
{
	(void)state;
	zeros(64, true, false);
	check_all(NULL, 1, "CPU 1: its records at offset 534 lie among those of CPU 0 at 534; the file is damaged");
}

static void test_statistics_of_no_cpu(void **state)
{
	FILE *f = begin_file();
	long head = head_7(f), header = header_section(f), fmt = formats_section(f), options;
	char text[64];
	unsigned i;

	(void)state;
	options = begin_options(f, head, header, fmt);
	for (i = 0; i < 4000; i++) {
		snprintf(text, sizeof(text), "Buffer: b%u\n", i);
		option(f, 2, (uint32_t)strlen(text));
		fputs(text, f);
		snprintf(text, sizeof(text), "CPU: 65535\noverrun: 1\n");
		option(f, 2, (uint32_t)strlen(text));
		fputs(text, f);
	}
	end_options(f, options);
	check_all(NULL, 1, "statistics of CPU 65535, which is not there; the file is damaged");
}

/* Version 6: thousands of instances, whose tables of CPUs are one and the same. */
static void test_tables_of_cpus(void **state)
{
	FILE *f = begin_file();
	unsigned i;
	long option_at, table;

	(void)state;
	fwrite("\x17\x08\x44tracing6", 1, 12, f);
	put_number(f, 8 << 8, 2);
	put_number(f, 4096, 4);
	fwrite("header_page", 1, 12, f);
	put_sized(f, header_page, 8);
	fwrite("header_event", 1, 13, f);
	put_sized(f, "", 8);
	put_number(f, 0, 4);
	formats(f, 1, unpin_format);
	put_sized(f, "", 4);
	put_sized(f, "", 4);
	put_sized(f, "", 8);
	put_number(f, 65535, 4);
	fwrite("options  ", 1, 10, f);
	option_at = ftell(f);
	for (i = 0; i < 4000; i++) {
		option(f, 3, 8 + 5);
		put_number(f, 0, 8);
		fprintf(f, "%04u%c", i, 0);
	}
	put_number(f, 0, 2);
	table = ftell(f);
	fwrite("flyrecord", 1, 10, f);
	for (i = 0; i < 2 * 65535; i++)
		put_number(f, 0, 8);
	for (i = 0; i < 4000; i++)
		put_at(f, option_at + 6 + 19 * (long)i, (uint64_t)table, 8);
	fclose(f);
	check_two(NULL, 1, TOO_MUCH);
}

/* A file with one compressed section of the kind, in which writes puts what there is. */
static void compressed(unsigned id, writer write)
{
	FILE *f = begin_file();
	long head = head_7(f), header = header_section(f), fmt = id == FORMATS ? 0 : formats_section(f);
	long at = compressed_section(f, id, write), options = begin_options(f, head, header, fmt ? fmt : at);

	if (fmt)
		option_offset(f, id, at);
	end_options(f, options);
}

static void write_names(FILE *f)
{
	unsigned n = 4000000, i;
	uint64_t len = 0;

	for (i = 1000000; i < n; i++)
		len += 10;
	put_number(f, len, 8);
	for (i = 1000000; i < n; i++)
		fprintf(f, "%u a\n", i);
}

static void test_command_names(void **state)
{
	(void)state;
	compressed(CMDLINES, write_names);
	check_two(NULL, 1, TOO_MUCH);
}

static void write_formats(FILE *f)
{
	formats(f, 1025, unpin_format);
}

/* As large as formats may be, in fields that take far more memory than text. */
static void write_long_formats(FILE *f)
{
	static char text[1 << 20];
	size_t at = (size_t)snprintf(text, sizeof(text), "%s", unpin_format);

	while (at < sizeof(text) - 100)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "\tfield:u8 a;\toffset:0;\tsize:1;\n");
	formats(f, 40, text);
}

static void test_formats(void **state)
{
	(void)state;
	compressed(FORMATS, write_formats);
	check_two(NULL, 1, "the format of ioflush/unpin is one too many");
	compressed(FORMATS, write_long_formats);
	check_two(NULL, 1, TOO_MUCH);
}

/* A section that says that it is unpacked to nearly 4 GiB. */
static void test_large_section(void **state)
{
	FILE *f = begin_file();
	long head = head_7(f), header = header_section(f), at, options;

	(void)state;
	at = section(f, FORMATS, true, 100);
	put_number(f, 92, 4);
	put_number(f, UINT32_MAX, 4);
	fprintf(f, "%92s", "");
	options = begin_options(f, head, header, at);
	end_options(f, options);
	check_two(NULL, 1, TOO_MUCH);
}

/* --- the worst JSON Lines and texts */

#define JSON_HEADER "{\"ioflush_trace\":1,\"page_size\":4096}\n"

static void fill(FILE *f, const char *text, size_t bytes)
{
	size_t len = strlen(text), n;

	for (n = 0; n + len <= bytes; n += len)
		fputs(text, f);
}

static void write_long_line(FILE *f)
{
	fputs(JSON_HEADER, f);
	fill(f, "{\"t\":1,\"e\":\"", 12);
	fill(f, "0123456789abcdef", 64 << 20);
}

static void write_nested(FILE *f)
{
	fputs(JSON_HEADER "{\"t\":", f);
	fill(f, "[", 1000000);
	fputs("\n", f);
}

static void write_wide(FILE *f)
{
	fputs(JSON_HEADER "{\"t\":[", f);
	fill(f, "{},", 1000000);
	fputs("{}]}\n", f);
}

static void write_members(FILE *f)
{
	unsigned i;

	fputs(JSON_HEADER "{\"t\":{", f);
	for (i = 0; i < 80000; i++)
		fprintf(f, "\"%u\":1,", i);
	fputs("\"t\":1}}\n", f);
}

static void test_lines(void **state)
{
	(void)state;
	check_all(write_long_line, 1, "over 1048576 bytes without a newline");
	check_all(write_nested, 1, ":2:2054: nested more than 2048 deep");
	check_two(write_wide, 1, ":2");
	check_two(write_members, 1, ":2");
}

/* A line for each of a million commands with long names. */
static void write_strings(FILE *f)
{
	unsigned i;

	fputs(JSON_HEADER, f);
	for (i = 1000000; i < 2100000 && !ferror(f); i++)
		fprintf(f, "{\"t\":%u,\"cpu\":0,\"tid\":1,\"comm\":\"%s%u\",\"e\":\"unpin\",\"pfn\":1,\"npages\":1}\n",
			i, long_name, i);
}

static void write_text_strings(FILE *f)
{
	unsigned i;

	for (i = 1000000; i < 2100000 && !ferror(f); i++)
		fprintf(f, "%s%u-%u [000] ..... %u.000000: unpin: (batch_unpin+0x0) pfn=0x1 npages=0x1\n", long_name, i,
			i, i);
}

static void write_text_line(FILE *f)
{
	fputs("a-1 [000] ..... 1.000000: unpin: (batch_unpin+0x0) pfn=0x1 npages=0x1\n", f);
	fill(f, "0123456789abcdef", 64 << 20);
}

static void test_strings(void **state)
{
	(void)state;
	check_all(write_text_line, 1, "more than 65536 bytes");
	if (SANITIZED)
		return; /* minutes, and nothing is measured */
	check_command(IMPORT, write_strings, 1, "comm: " TOO_MUCH);
	check_command(REPLAY, write_text_strings, 1, TOO_MUCH);
}

/* More threads than there can be wait for their device, or are in calls. */
static void write_attaches(FILE *f)
{
	unsigned i;

	for (i = 1; i <= 70000; i++)
		fprintf(f, "a-%u [000] ..... %u.000000: attach: (a+0x0) hwpt=0x1 idev=0x%x domain=0x2\n", i, i, i);
}

static void write_calls(FILE *f)
{
	unsigned i;

	fputs("a-1 [000] ..... 0.000000: map: (a+0x0) rc=0\n", f); /* its return has no arguments: calls are paired */
	for (i = 1; i <= 200000; i++)
		fprintf(f, "a-%u [000] ..... %u.000000: map_entry: (a+0x0) domain=0x1 iova=0x0 paddr=0x0 size=0x1000\n",
			i, i);
}

static void test_held_records(void **state)
{
	(void)state;
	check_two(write_attaches, 1, "65536 threads wait for their device");
	check_two(write_calls, -1, NULL);
}

/* --- the worst databases */

static void fill_database(const char *sql)
{
	const char *argv[] = {getenv("IOFLUSH"), "generate", "--events=10", "-o", file, NULL};
	sqlite3 *db = NULL;

	strcat(file, ".db");
	check((char *const *)argv, NULL, 0, NULL, PEAK_KIB);
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static void check_database(const char *sql)
{
	size_t len = strlen(file);

	fill_database(sql);
	check_two(NULL, 1, TOO_MUCH);
	unlink(file);
	file[len] = '\0';
}

#define ROWS(n) "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < " n ") INSERT INTO "

static void test_databases(void **state)
{
	static const char captures[] = ROWS(
		"1500000") "capture (source, format, host, kernel, clock, page_size, probes, events, sum, state, note) "
			   "SELECT '', '', '', '', '', 4096, '', 0, 0, '', '' FROM c";
	/* what no event names is not read: each has an event */
	static const char tasks[] = ROWS("2200000") "task (id, tid) SELECT 1000 + i, i FROM c; " ROWS(
		"2200000") "event SELECT m.id + i, m.capture, m.t, "
			   "m.cpu, 1000 + i, m.kind, m.f0, m.f1, m.f2, m.f3, m.f4, m.f5, m.f6, m.f7, m.f8, m.f9, m.f10 FROM c, (SELECT * "
			   "FROM event ORDER BY id DESC LIMIT 1) AS m; UPDATE capture SET events = events + 2200000, last_event = "
			   "last_event + 2200000";

	(void)state;
	if (SANITIZED)
		return;
	check_database(captures);
	check_database(tasks);
}

/* --- the model */

/* Pages without end, each in a frame that lies alone. */
static void write_scattered(FILE *f)
{
	uint64_t i, last = (4000000ull << 12) - 1;

	fputs(JSON_HEADER "{\"t\":1,\"cpu\":0,\"tid\":1,\"e\":\"domain_add\",\"iopt\":1,\"domain\":2,\"coherent\":0}\n"
			  "{\"t\":1,\"cpu\":0,\"tid\":1,\"e\":\"domain_add_end\",\"iopt\":1,\"domain\":2,\"rc\":0}\n",
	      f);
	fprintf(f,
		"{\"t\":1,\"cpu\":0,\"tid\":1,\"e\":\"area_fill\",\"area\":3,\"pages\":4,\"iopt\":1,\"iova\":0,\"last\":%llu,"
		"\"first\":0,\"last_index\":3999999,\"page_offset\":0}\n",
		(unsigned long long)last);
	for (i = 0; i < 4000000 && !ferror(f); i++)
		fprintf(f,
			"{\"t\":1,\"cpu\":0,\"tid\":1,\"e\":\"map\",\"domain\":2,\"iova\":%llu,\"paddr\":%llu,\"size\":4096}\n",
			(unsigned long long)i << 12, (unsigned long long)i << 13);
}

/* Objects without end, each with an id of its own. */
static void write_objects(FILE *f)
{
	unsigned i;

	fputs(JSON_HEADER, f);
	for (i = 1; i < 4000000 && !ferror(f); i++)
		fprintf(f,
			"{\"t\":1,\"cpu\":0,\"tid\":1,\"e\":\"area_fill\",\"area\":%u,\"pages\":%u,\"iopt\":%u,\"iova\":0,"
			"\"last\":4095,\"first\":0,\"last_index\":0,\"page_offset\":0}\n",
			i, i, i);
}

/* What is older than the recording, without end. */
static void write_older(FILE *f)
{
	unsigned i;

	fputs(JSON_HEADER, f);
	for (i = 1; i < 4000000 && !ferror(f); i++)
		fprintf(f, "{\"t\":1,\"cpu\":0,\"tid\":1,\"e\":\"unmap\",\"domain\":%u,\"iova\":0,\"size\":4096}\n", i);
}

static void test_model(void **state)
{
	static const char refusal[] =
		"): more than the 64 MiB of memory that --memory allows: allow more, if the machine has it";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const char *argv[] = {getenv("IOFLUSH"),  commands[i].name,   "-", "--memory=64M",
				      commands[i].arg[0], commands[i].arg[1], NULL};

		if (i == IMPORT || !strcmp(commands[i].name, "export"))
			continue;
		check((char *const *)argv, write_scattered, 1, refusal, 100 << 10);
		if (i != REPLAY)
			continue;
		check((char *const *)argv, write_objects, 1, refusal, 100 << 10);
		check((char *const *)argv, write_older, 1, refusal, 100 << 10);
	}
}

/* The bound that nobody gave fits the address space that there is. */
static void test_address_space(void **state)
{
	const char *argv[] = {getenv("IOFLUSH"), "gaps", "-", "--policy=none", NULL};

	(void)state;
	if (SANITIZED)
		return;
	address_space = 800ull << 20;
	check((char *const *)argv, write_scattered, 1, "more than the 416 MiB of memory that --memory allows", 500 << 10);
	address_space = 2ull << 30;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compressed_zeros),
		cmocka_unit_test(test_overlapping_cpus),
		cmocka_unit_test(test_statistics_of_no_cpu),
		cmocka_unit_test(test_tables_of_cpus),
		cmocka_unit_test(test_command_names),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_large_section),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_held_records),
		cmocka_unit_test(test_databases),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_address_space),
	};

	return cmocka_run_group_tests_name("memory", tests, setup, teardown);
}
