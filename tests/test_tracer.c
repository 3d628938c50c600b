/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arming, cleaning and privilege separation against the real tracefs, with uprobes on functions of this program, so
 * that neither kprobes nor iommufd are needed. Skipped, with a message, without tracefs or root.
 *
 * Others may use tracefs at the same time: everything made here has this process's id in its name, and only that is
 * compared.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/config/config.h"
#include "daemon/probes/check.h"
#include "daemon/probes/packets.h"
#include "daemon/probes/priv.h"
#include "daemon/probes/probeset.h"
#include "daemon/probes/tracer.h"
#include "tests/files.h"

#define TRACEFS "/sys/kernel/tracing"

/* What is probed. */
__attribute__((noinline)) int tracer_test_map(unsigned long domain, unsigned long iova);
int tracer_test_map(unsigned long domain, unsigned long iova)
{
	__asm__ volatile("" : : "r"(domain), "r"(iova) : "memory");
	return (int)(domain + iova);
}

static char instance[32]; /* also the group */
static char folder[64];	  /* for files */
static char target[4200]; /* "/this/program:0xOFFSET" of tracer_test_map */

/* --- helpers */

struct find_offset {
	uintptr_t address;
	unsigned long offset;
};

static int find_offset(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct find_offset *f = ctx;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && f->address >= start && f->address < start + ph->p_filesz) {
			f->offset = f->address - start + ph->p_offset;
			return 1;
		}
	}
	return 0;
}

static int group_setup(void **state)
{
	struct find_offset f = {.address = (uintptr_t)tracer_test_map};
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	if (n < 0 || !dl_iterate_phdr(find_offset, &f))
		return -1;
	self[n] = 0;
	snprintf(target, sizeof(target), "%s:0x%lx", self, f.offset);
	snprintf(instance, sizeof(instance), "trctest_%d", (int)getpid());
	/* Not TMPDIR: an unprivileged user must reach it. */
	strcpy(folder, "/tmp/test_tracer.XXXXXX");
	if (!mkdtemp(folder) || chmod(folder, 0755))
		return -1;
	log_init(LOG_L_ERROR, false);
	return 0;
}

static int group_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static unsigned had; /* descriptors, before the test */

static int count_descriptors(void **state)
{
	(void)state;
	had = descriptors();
	return 0;
}

/*
 * What a test that failed has left, by force, so that the next one begins with nothing. A file that is left open keeps the
 * kernel's buffers, whatever else is cleaned up.
 */
static int sweep(void **state)
{
	unsigned now = descriptors();
	char command[1024];

	(void)state;
	if (now != had) {
		print_error("%u files were open before, %u are now\n", had, now);
		return -1;
	}
	snprintf(command, sizeof(command),
		 "cd " TRACEFS " 2>/dev/null || exit 0; mine=%d\n"
		 "for i in instances/trctest[-_]$mine*; do if [ -d $i ]; then rmdir $i; fi; done\n"
		 "sed -n \"s,^[^:]*:\\(trctest_$mine[^ ]*\\) .*,-:\\1,p\" dynamic_events 2>/dev/null |\n"
		 "while read -r line; do echo \"$line\" >>dynamic_events; done",
		 (int)getpid());
	return system(command) ? -1 : 0;
}

static void need_tracefs(void)
{
	if (geteuid()) {
		print_message("skipped: probes need root\n");
		skip();
	}
	if (access(TRACEFS "/uprobe_events", W_OK)) {
		print_message("skipped: no uprobe events at " TRACEFS "\n");
		skip();
	}
}

static void check(int ret, const struct error *e)
{
	if (ret)
		fail_msg("%s", e->text);
}

static void expect(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text ? text : "(null)");
}

static char *slurp(const char *path)
{
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(path, "re");

	assert_non_null(text);
	if (f) {
		text[fread(text, 1, (1 << 20) - 1, f)] = 0;
		fclose(f);
	}
	return text;
}

static char *slurp_instance(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), TRACEFS "/instances/%s/%s", instance, name);
	return slurp(path);
}

static void set_instance(const char *name, const char *value)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), TRACEFS "/instances/%s/%s", instance, name);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, strlen(value)), strlen(value));
	close(fd);
}

/* What another changes is seen and named, and that it is as before, too. */
static void expect_changed(const struct tracer *t, const char *name, const char *value, const char *back, const char *said)
{
	struct error e = {{0}};

	set_instance(name, value);
	assert_int_equal(tracer_unchanged(t, &e), -1);
	expect(e.text, said);
	set_instance(name, back);
	assert_int_equal(tracer_unchanged(t, &e), 0);
}

static void dynamic_event(const char *line)
{
	int fd = open(TRACEFS "/dynamic_events", O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		fail_msg("%s: %s", line, strerror(errno));
	close(fd);
}

/* How many lines of dynamic_events, and how many instances, have the text in them. */
static unsigned probes_with(const char *part)
{
	char *all = slurp(TRACEFS "/dynamic_events"), *p;
	unsigned n = 0;

	for (p = strtok(all, "\n"); p; p = strtok(NULL, "\n"))
		n += strstr(p, part) != NULL;
	free(all);
	return n;
}

static unsigned instances_with(const char *part)
{
	DIR *dir = opendir(TRACEFS "/instances");
	struct dirent *d;
	unsigned n = 0;

	assert_non_null(dir);
	while ((d = readdir(dir)))
		n += strstr(d->d_name, part) != NULL;
	closedir(dir);
	return n;
}

static void expect_nothing_left(void)
{
	/* Names in the group, and the group of a try. */
	char group[64];

	snprintf(group, sizeof(group), ":%s", instance);
	assert_int_equal(probes_with(group), 0);
	assert_int_equal(instances_with(instance), 0);
}

static const char *set_file(const char *text)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/set.probes", folder);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return path;
}

/* "%s" in the text is the target. */
static void read_set(struct probe_set *s, const char *fmt)
{
	struct error e = {{0}};
	char text[16384], *p = text;

	for (; *fmt; fmt++) {
		if (fmt[0] == '%' && fmt[1] == '@') {
			p = stpcpy(p, target);
			fmt++;
		} else {
			*p++ = *fmt;
		}
	}
	*p = 0;
	check(probe_set_read(s, set_file(text), &e), &e);
}

#define GOOD_SET "p:ioflush/map %@ domain=%di:x64 iova=%si:x64\n"

static const struct tracer_options *options(void)
{
	static struct tracer_options o;

	o = (struct tracer_options){.tracefs = TRACEFS, .instance = instance, .buffer_size = 64 << 10};
	return &o;
}

static void open_tracer(struct tracer *t)
{
	enum tracer_host host;
	struct error e = {{0}};

	check(tracer_open(t, options(), &host, &e), &e);
	assert_int_equal(host, TRACER_HOST_OK);
}

static void arm(struct tracer *t, const char *set)
{
	enum tracer_host host;
	struct error e = {{0}};
	struct probe_set s;

	read_set(&s, set);
	open_tracer(t);
	check(tracer_arm(t, &s, &host, &e), &e);
	probe_set_free(&s);
}

/* In a child: nothing lingers when the test fails, or hangs. */
static void tie_to_test(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
}

/* Forks; the child runs fn, says so, and stays until it is killed. */
static pid_t spawn(void (*fn)(void))
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		tie_to_test();
		fn();
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void kill_hard(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* --- the tracer */

static void test_arm(void **state)
{
	struct error e = {{0}};
	struct tracer t;
	size_t n, i, len;
	unsigned *cpus, hits = 0;
	char *text, *p, path[128];
	int fd;

	(void)state;
	need_tracefs();
	arm(&t, "p:ioflush/map /nowhere/at/all:0x10 domain=%di\n"
		"p:ioflush/map %@ domain=%nonsense\n"
		"@lost the return code\n"
		"p:ioflush/map %@ domain=%di:x64 iova=%si:x64\n"
		"p:ioflush/map %@ domain=%di:x64\n"
		"f:ioflush/unmap no_such_function_at_all domain\n"
		"r:x/area_fill_end %@ rc=$retval\n");
	assert_int_equal(t.nevents, 3);
	assert_string_equal(t.event[0].name, "map");
	assert_int_equal(t.event[0].alt, 2);
	assert_string_equal(t.event[0].lost, "the return code");
	assert_string_equal(t.event[0].system, instance);
	expect(t.event[0].line, "p:trctest_");
	/* The kernel's own words, with the line of the set. */
	expect(t.event[0].refused, "set.probes:1: Failed to find the given file, at \"/nowhere/at/all:0x10\"");
	expect(t.event[0].refused, "\n");
	expect(t.event[0].refused, "set.probes:2: Invalid register name, at \"");
	assert_int_equal(t.event[1].alt, -1);
	assert_null(t.event[1].line);
	expect(t.event[1].refused, "set.probes:6: ");
	assert_int_equal(t.event[2].alt, 0);
	assert_null(t.event[2].refused);

	text = slurp_instance("trace_clock");
	expect(text, "[mono]");
	free(text);
	text = slurp_instance("options/overwrite");
	assert_string_equal(text, "0\n");
	free(text);
	text = slurp_instance("tracing_on");
	assert_string_equal(text, "0\n");
	free(text);
	text = slurp_instance("buffer_size_kb");
	assert_in_range(atoi(text), 64, 80);
	free(text);

	tracer_test_map(1, 2); /* not recording yet */
	check(tracer_start(&t, &e), &e);
	check(tracer_unchanged(&t, &e), &e);
	expect_changed(&t, "tracing_on", "0", "1", "tracing_on is \"0\", not \"1\"");
	expect_changed(&t, "buffer_size_kb", "128", "64", "buffer_size_kb is \"");
	snprintf(path, sizeof(path), "events/%s/map/enable", instance);
	expect_changed(&t, path, "0", "1", "map/enable is \"0\", not \"1\"");
	snprintf(path, sizeof(path), "events/%s/map/filter", instance);
	expect_changed(&t, path, "iova > 7", "0", "map/filter is \"iova > 7\", not \"none\"");
	for (i = 0; i < 5; i++)
		tracer_test_map(0x1234, i);
	check(tracer_stop(&t, &e), &e);
	check(tracer_unchanged(&t, &e), &e);
	tracer_test_map(3, 4);
	text = slurp_instance("trace");
	for (p = text; (p = strstr(p, " map: ")); p++)
		hits++;
	assert_int_equal(hits, 5);
	expect(text, "domain=0x1234 iova=0x4");
	free(text);

	text = tracer_header_page(&t, &len, &e);
	expect(text, "field: local_t commit;");
	assert_int_equal(len, strlen(text));
	free(text);
	text = tracer_format(&t, 0, &len, &e);
	expect(text, "name: map\n");
	expect(text, "field:u64 iova;");
	free(text);
	assert_null(tracer_format(&t, 1, &len, &e));
	cpus = tracer_cpus(&t, &n, &e);
	assert_non_null(cpus);
	assert_int_equal(n, sysconf(_SC_NPROCESSORS_ONLN));
	for (i = 0; i < n; i++) {
		assert_true(!i || cpus[i] > cpus[i - 1]);
		fd = tracer_open_buffer(&t, cpus[i]);
		assert_true(fd >= 0);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		close(fd);
		fd = tracer_open_stats(&t, cpus[i]);
		assert_true(fd >= 0);
		close(fd);
	}
	free(cpus);
	assert_int_equal(tracer_open_buffer(&t, 70000), -1);
	assert_int_equal(errno, ENOENT);

	tracer_close(&t);
	tracer_close(&t);
	expect_nothing_left();
}

/* An alternative of two probes is armed whole or not at all; its entry is an event of its own. */
static void test_entries(void **state)
{
	struct error e = {{0}};
	struct tracer t;
	size_t len;
	char *text;

	(void)state;
	need_tracefs();
	arm(&t, "@entry p:x/map_entry %@ domain=%di:x64\nr:x/map /nowhere/at/all:0x10 rc=$retval:s32\n"
		"@entry p:x/map_entry %@ domain=+{no_such_struct.member}(%di):x64\nr:x/map %@ rc=$retval:s32\n"
		"@entry p:x/map_entry /nowhere/at/all:0x10 domain=%di:x64\nr:x/map %@ rc=$retval:s32\n"
		"@entry p:x/map_entry %@ domain=%si:x64\nr:x/map %@ rc=$retval:s32\n"
		"p:x/unmap %@ domain=%di:x64\n");
	assert_int_equal(t.nevents, 3);
	assert_int_equal(t.event[0].alt, 3);
	expect(t.event[0].refused, "set.probes:2: ");
	expect(t.event[0].refused, "no_such_struct.member");
	expect(t.event[0].refused, "set.probes:6: ");
	assert_string_equal(t.event[1].name, "unmap");
	assert_string_equal(t.event[2].name, "map_entry");
	assert_int_equal(t.event[2].alt, 0);
	expect(t.event[2].line, "domain=%si:x64");
	text = tracer_format(&t, 2, &len, &e);
	expect(text, "name: map_entry");
	free(text);
	assert_int_equal(probes_with("/map_entry"), 1);
	text = slurp_instance("options/overwrite");
	assert_string_equal(text, "1\n"); /* so that the place of a loss is known */
	free(text);
	tracer_close(&t);
	expect_nothing_left();
}

/* With a rung that is forced, needed events may be missing: said, but no failure. */
static void test_rung(void **state)
{
	struct tracer_options o = *options();
	enum tracer_host host;
	struct error e = {{0}};
	struct probe_set s;
	struct tracer t;

	(void)state;
	need_tracefs();
	read_set(&s, "@needs unmap\n@rung best\np:x/map %@ domain=%di:x64\np:x/unmap %@ domain=%di:x64\n"
		     "@rung poor\np:x/map %@ domain=%si:x64\n@only last\np:x/map %@ domain=%dx:x64\n");
	o.rung = "poor";
	check(tracer_open(&t, &o, &host, &e), &e);
	check(tracer_arm(&t, &s, &host, &e), &e);
	assert_int_equal(host, TRACER_HOST_INCOMPLETE);
	expect(e.text, "rung poor: it lacks unmap");
	assert_int_equal(t.event[0].alt, 1);
	assert_int_equal(t.event[1].alt, -1);
	expect(t.event[1].refused, "the rung poor has no probe for it");
	tracer_close(&t);
	o.rung = "last";
	check(tracer_open(&t, &o, &host, &e), &e);
	check(tracer_arm(&t, &s, &host, &e), &e);
	assert_int_equal(t.event[0].alt, 2);
	tracer_close(&t);
	o.rung = NULL;
	check(tracer_open(&t, &o, &host, &e), &e);
	check(tracer_arm(&t, &s, &host, &e), &e);
	assert_int_equal(host, TRACER_HOST_OK);
	assert_int_equal(t.event[0].alt, 0);
	tracer_close(&t);
	probe_set_free(&s);
	expect_nothing_left();
}

static void test_try(void **state)
{
	enum tracer_host host;
	struct error e = {{0}};
	struct probe_set s;
	struct tracer t;

	(void)state;
	need_tracefs();
	read_set(&s, "p:ioflush/map /nowhere:0x10\n" GOOD_SET);
	open_tracer(&t);
	check(tracer_try(&t, &s, &host, &e), &e);
	assert_int_equal(t.nevents, 1);
	assert_int_equal(t.event[0].alt, 1);
	expect(t.event[0].line, instance);
	assert_null(strstr(t.event[0].line, "_try"));
	expect(t.event[0].refused, "Failed to find the given file");
	expect_nothing_left();
	tracer_close(&t);
	expect_nothing_left();
	probe_set_free(&s);
}

static void child_arms(void)
{
	static struct tracer t;
	struct error e = {{0}};

	arm(&t, GOOD_SET);
	tracer_start(&t, &e);
	tracer_test_map(1, 2);
}

static void test_kill(void **state)
{
	enum tracer_host host;
	char other[4400], part[64];
	struct error e = {{0}};
	struct tracer t;
	unsigned found;

	(void)state;
	need_tracefs();
	/* Somebody else's probe, whose group begins as ours does. */
	snprintf(other, sizeof(other), "p:%sx/map %s domain=%%di\n", instance, target);
	snprintf(part, sizeof(part), "p:%sx/map ", instance);
	dynamic_event(other);
	kill_hard(spawn(child_arms));
	assert_int_equal(probes_with(instance), 2);
	assert_int_equal(instances_with(instance), 1);

	open_tracer(&t);
	check(tracer_clean(&t, &found, &host, &e), &e);
	assert_int_equal(found, 2);
	assert_int_equal(probes_with(instance), 1);
	assert_int_equal(probes_with(part), 1);
	assert_int_equal(instances_with(instance), 0);
	check(tracer_clean(&t, &found, &host, &e), &e);
	assert_int_equal(found, 0);
	tracer_close(&t);
	snprintf(other, sizeof(other), "-:%sx/map\n", instance);
	dynamic_event(other);
	expect_nothing_left();
}

/* Probes without an instance, and what a killed try leaves. */
static void test_clean_parts(void **state)
{
	enum tracer_host host;
	char line[4400];
	struct error e = {{0}};
	struct tracer t;
	unsigned found;

	(void)state;
	need_tracefs();
	snprintf(line, sizeof(line), "p:%s/map %s domain=%%di\n", instance, target);
	dynamic_event(line);
	snprintf(line, sizeof(line), "p:%s_try/map %s domain=%%di\n", instance, target);
	dynamic_event(line);
	snprintf(line, sizeof(line), TRACEFS "/instances/%s-try", instance);
	assert_int_equal(mkdir(line, 0750), 0);
	open_tracer(&t);
	check(tracer_clean(&t, &found, &host, &e), &e);
	assert_int_equal(found, 3);
	tracer_close(&t);
	expect_nothing_left();
}

static void test_lock(void **state)
{
	enum tracer_host host;
	struct error e = {{0}}, e2 = {{0}};
	struct probe_set s;
	struct tracer t;
	unsigned found;
	pid_t pid;

	(void)state;
	need_tracefs();
	pid = spawn(child_arms);
	open_tracer(&t);
	assert_int_equal(tracer_clean(&t, &found, &host, &e), -1);
	assert_int_equal(host, TRACER_HOST_IN_USE);
	expect(e.text, "another ioflushd uses the instance");
	read_set(&s, GOOD_SET);
	assert_int_equal(tracer_arm(&t, &s, &host, &e2), -1);
	expect(e2.text, "another ioflushd uses the instance");
	tracer_close(&t);
	/* Nothing of the living one was touched. */
	assert_int_equal(probes_with(instance), 1);
	assert_int_equal(instances_with(instance), 1);
	/* A check beside it works. */
	memset(&e, 0, sizeof(e));
	open_tracer(&t);
	check(tracer_try(&t, &s, &host, &e), &e);
	tracer_close(&t);
	assert_int_equal(probes_with(instance), 1);
	kill_hard(pid);
	memset(&e, 0, sizeof(e));
	open_tracer(&t);
	check(tracer_clean(&t, &found, &host, &e), &e);
	tracer_close(&t);
	probe_set_free(&s);
	expect_nothing_left();
}

/* "a-b" and "a_b" have one group: the second is refused, and takes nothing from the first. */
static void test_same_group(void **state)
{
	struct tracer_options o = *options();
	enum tracer_host host;
	struct error e = {{0}};
	char path[256], line[4400];
	struct tracer t;
	unsigned found;

	(void)state;
	need_tracefs();
	snprintf(path, sizeof(path), "%s/instances/%s", TRACEFS, instance);
	*strrchr(path, '_') = '-';
	assert_int_equal(mkdir(path, 0750), 0);
	snprintf(line, sizeof(line), "p:%s/map %s domain=%%di\n", instance, target);
	dynamic_event(line);
	check(tracer_open(&t, &o, &host, &e), &e);
	assert_int_equal(tracer_clean(&t, &found, &host, &e), -1);
	expect(e.text, "same probe group");
	tracer_close(&t);
	assert_int_equal(probes_with(instance), 1);
	assert_int_equal(instances_with(instance), 0);
	assert_int_equal(rmdir(path), 0);
	snprintf(line, sizeof(line), "-:%s/map\n", instance);
	dynamic_event(line);
	expect_nothing_left();
}

/* A probe of our group that somebody has enabled in the main buffer cannot be removed, and that is said. */
static void test_busy(void **state)
{
	enum tracer_host host;
	char path[256], line[4400];
	struct error e = {{0}};
	struct tracer t;
	unsigned found;
	int fd;

	(void)state;
	need_tracefs();
	snprintf(line, sizeof(line), "p:%s/map %s domain=%%di\n", instance, target);
	dynamic_event(line);
	snprintf(path, sizeof(path), TRACEFS "/events/%s/map/enable", instance);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "1", 1), 1);
	open_tracer(&t);
	assert_int_equal(tracer_clean(&t, &found, &host, &e), -1);
	expect(e.text, "in use outside of our instance");
	tracer_close(&t);
	assert_int_equal(write(fd, "0", 1), 1);
	close(fd);
	snprintf(line, sizeof(line), "-:%s/map\n", instance);
	dynamic_event(line);
	expect_nothing_left();
}

/* --- hosts */

static void refuse_open(const char *tracefs, const char *name, enum tracer_host want, const char *part)
{
	struct tracer_options o = {.tracefs = tracefs, .instance = name, .buffer_size = 65536};
	enum tracer_host host;
	struct error e = {{0}};
	struct tracer t;

	assert_int_equal(tracer_open(&t, &o, &host, &e), -1);
	assert_int_equal(host, want);
	expect(e.text, part);
	tracer_close(&t);
}

static void test_no_tracefs(void **state)
{
	(void)state;
	refuse_open("/nowhere/at/all", "x", TRACER_HOST_NO_TRACEFS, "no tracefs at /nowhere/at/all");
	refuse_open("/tmp", "x", TRACER_HOST_NO_TRACEFS, "not mounted at /tmp: mount -t tracefs nodev /tmp");
	refuse_open(TRACEFS, "../x", TRACER_HOST_OK, "no instance can have this name");
}

static void test_no_privilege(void **state)
{
	enum tracer_host host = TRACER_HOST_OK;
	struct error e = {{0}};
	struct tracer t;
	int status;
	pid_t pid;

	(void)state;
	need_tracefs();
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		if (tracer_open(&t, options(), &host, &e) != -1 || !strstr(e.text, "needs root"))
			_exit(2);
		_exit(host);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), TRACER_HOST_NO_PRIVILEGE);
}

/* A host whose /sys, /proc and /dev are these files. */
static void make_root(char root[128], const char *lockdown, const char *kallsyms)
{
	char command[1024];

	snprintf(root, 128, "%s/root", folder);
	snprintf(command, sizeof(command),
		 "rm -rf %s && mkdir -p %s/sys/kernel/security %s/proc && printf '%%s' '%s' >%s/sys/kernel/security/lockdown "
		 "&& printf '%%s' '%s' >%s/proc/kallsyms",
		 root, root, root, lockdown, root, kallsyms, root);
	assert_int_equal(system(command), 0);
}

static void judge(const char *root, const char *set, enum tracer_host want, const char *part)
{
	struct tracer_options o = *options();
	enum tracer_host host;
	struct error e = {{0}};
	struct probe_set s;
	struct tracer t;
	int ret;

	o.root = root;
	read_set(&s, set);
	check(tracer_open(&t, &o, &host, &e), &e);
	ret = tracer_arm(&t, &s, &host, &e);
	if (want != host)
		fail_msg("host is %d, not %d: %s", host, want, e.text);
	assert_int_equal(ret, want ? -1 : 0);
	if (part)
		expect(e.text, part);
	tracer_close(&t);
	probe_set_free(&s);
	expect_nothing_left();
}

static void test_hosts(void **state)
{
	static const char kernel_set[] = "f:ioflush/map no_such_function_at_all domain\n";
	static const char tracepoint_set[] =
		"@event attach_device_to_domain\n@tracepoint iommu:attach_device_to_domain\n";
	bool probes = !access(TRACEFS "/kprobe_events", F_OK);
	char root[128];

	(void)state;
	need_tracefs();
	make_root(root, "none [integrity] confidentiality", "0 T iopt_table_add_domain_not\n");
	judge(root, kernel_set, TRACER_HOST_LOCKDOWN, "locked down (integrity)");
	judge(root, GOOD_SET, TRACER_HOST_OK, NULL);
	make_root(root, "[none] integrity confidentiality", "0 T iopt_table_add_domain_not\n");
	if (probes)
		judge(root, kernel_set, TRACER_HOST_NO_IOMMUFD, "modprobe iommufd");
	else
		judge(root, kernel_set, TRACER_HOST_NO_PROBES, "neither kprobe nor fprobe events");
	if (!access(TRACEFS "/events/iommu/attach_device_to_domain", F_OK)) {
		judge(root, tracepoint_set, TRACER_HOST_NO_IOMMUFD, "modprobe iommufd");
		make_root(root, "", "0 t x\n0 t iopt_table_add_domain\t[iommufd]\n");
		judge(root, tracepoint_set, TRACER_HOST_OK, NULL);
	}
	judge(NULL, "p:a/map /nowhere:0x10\n", TRACER_HOST_NO_PROBES, "Failed to find the given file");
	judge(NULL, "@needs map cut\n" GOOD_SET "p:a/cut /nowhere:0x10\n", TRACER_HOST_INCOMPLETE, "cut is unavailable");
	judge(NULL, GOOD_SET "p:a/cut /nowhere:0x10\n", TRACER_HOST_OK, NULL);
}

/* --- --check */

static char *run_check(const char *set, int want)
{
	char *text = NULL, path[128];
	struct error e = {{0}};
	struct config c;
	FILE *out;
	size_t len;

	check(config_defaults(&c, &e), &e);
	free(c.instance);
	free(c.probes);
	c.instance = strdup(instance);
	snprintf(path, sizeof(path), "%s", set);
	c.probes = strdup(path);
	out = open_memstream(&text, &len);
	assert_non_null(out);
	assert_int_equal(check_host(&c, out, &e), want);
	fclose(out);
	assert_int_equal(!want, !e.text[0]);
	config_free(&c);
	return text;
}

static void test_check(void **state)
{
	struct probe_set s;
	char *text;

	(void)state;
	need_tracefs();
	read_set(&s, "@needs map\n@lost all but the domain\n" GOOD_SET "p:a/cut /nowhere:0x10\n");
	text = run_check(s.path, 0);
	expect(text, "tracefs: " TRACEFS);
	expect(text, "clock: mono\n");
	expect(text, "map: alternative 1 of 1: p:");
	expect(text, "lost with it: all but the domain");
	expect(text, "cut: unavailable: split areas");
	expect(text, "set.probes:4: Failed to find the given file");
	expect(text, "events available: 1 of 2\nthe capture would lack: cut\n");
	expect(text, "verdict: this host can be recorded");
	free(text);
	expect_nothing_left();
	probe_set_free(&s);

	read_set(&s, "@needs cut\n" GOOD_SET "p:a/cut /nowhere:0x10\n");
	text = run_check(s.path, TRACER_HOST_INCOMPLETE);
	expect(text, "cut: unavailable, and needed: ");
	free(text);
	expect_nothing_left();
	probe_set_free(&s);
	text = run_check("/nowhere/at/all", 2);
	free(text);
}

/* --- privilege separation */

static void daemon_config(struct config *c, const char *user, const char *db)
{
	struct error e = {{0}};
	char path[128];

	check(config_defaults(c, &e), &e);
	free(c->instance);
	free(c->probes);
	free(c->user);
	free(c->db);
	c->instance = strdup(instance);
	c->buffer_size = 65536;
	snprintf(path, sizeof(path), "%s/set.probes", folder);
	c->probes = strdup(path);
	c->user = strdup(user);
	c->db = strdup(db);
}

/* Starts a daemon whose recording process runs fn, which does not return. The pid of the privileged one. */
static pid_t start_daemon(const char *user, const char *db, void (*fn)(struct priv *p))
{
	struct error e = {{0}};
	struct priv *p = NULL;
	struct config c;
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	tie_to_test();
	daemon_config(&c, user, db);
	if (priv_start(&p, &c, &status, &e)) {
		/* What the error has to have in it is the user's name. */
		if (!strstr(e.text, user))
			fprintf(stderr, "%s\n", e.text);
		_exit(status);
	}
	fn(p);
	_exit(99);
}

static int end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define MUST(what, status)             \
	do {                           \
		if (!(what))           \
			_exit(status); \
	} while (0)

/* The socket, to send what no caller of priv.h would. */
static int find_socket(void)
{
	int fd, type;
	socklen_t len;

	for (fd = 3; fd < 64; fd++) {
		len = sizeof(type);
		if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_SEQPACKET)
			return fd;
	}
	return -1;
}

static void child_uses_all(struct priv *p)
{
	uint32_t garbage[4] = {77, 1, 2, 3}, answer[64];
	struct priv_armed a;
	struct error e = {{0}};
	char page[65536];
	unsigned *cpus;
	ssize_t got = 0;
	size_t n, i, pages = 0;
	int fd, sock;

	MUST(getuid() == 65534 && geteuid() == 65534 && getgid() == 65534 && !getgroups(0, NULL), 20);
	MUST(setuid(0) == -1 && access(TRACEFS "/dynamic_events", W_OK) == -1, 21);
	MUST(!priv_armed(p, &a, &e) && a.nevents == 1 && a.event[0].alt == 0 && a.format[0] && a.header_page, 22);
	MUST(strstr(a.format[0], "name: map") && strlen(a.format[0]) == a.format_len[0], 23);
	cpus = priv_cpus(p, &n, &e);
	MUST(cpus && n == (size_t)sysconf(_SC_NPROCESSORS_ONLN), 24);
	MUST(!priv_trace_on(p, true, &e), 25);
	tracer_test_map(1, 2);
	MUST(!priv_trace_on(p, false, &e), 26);
	for (i = 0; i < n; i++) {
		fd = priv_open_stats(p, cpus[i]);
		MUST(fd >= 0 && pread(fd, page, sizeof(page), 0) > 0, 27);
		close(fd);
		fd = priv_open_buffer(p, cpus[i]);
		MUST(fd >= 0 && fcntl(fd, F_GETFL) & O_NONBLOCK && fcntl(fd, F_GETFD) & FD_CLOEXEC, 28);
		got = read(fd, page, 4096);
		/* An empty buffer: 0 in place of EAGAIN once the sender has closed its copy of the descriptor. */
		MUST(got >= 0 || errno == EAGAIN, 29);
		pages += got > 0;
	}
	MUST(pages == 1, 30);
	fd = priv_open_cmdlines(p);
	MUST(fd >= 0 && pread(fd, page, sizeof(page), 0) > 0, 31);
	fd = priv_open_symbols(p);
	MUST(fd >= 0 && pread(fd, page, sizeof(page), 0) > 0, 37);
	MUST(priv_open_buffer(p, 5000) == -1 && errno == ENOENT, 32);
	MUST(priv_open_buffer(p, UINT32_MAX) == -1 && errno == EPROTO, 33);
	sock = find_socket();
	for (i = 1; i <= sizeof(garbage); i++) {
		MUST(send(sock, garbage, i, 0) == (ssize_t)i, 34);
		MUST(recv(sock, answer, sizeof(answer), 0) > 0 && (int)answer[0] == EPROTO, 35);
	}
	MUST(!priv_trace_on(p, true, &e), 36);
	free(cpus);
	priv_armed_free(&a);
	priv_close(p);
	_exit(7);
}

static void child_dies(struct priv *p)
{
	struct error e = {{0}};
	int fd = priv_open_buffer(p, 0);

	MUST(fd >= 0 && !priv_trace_on(p, true, &e), 40);
	raise(SIGKILL);
}

/* Asks and asks, and takes no answer. The alarm: the privileged process waited. */
static void child_does_not_read(struct priv *p)
{
	uint32_t request[2] = {4, 0}; /* the list of CPUs */
	int sock = find_socket();

	(void)p;
	alarm(10);
	for (;;)
		MUST(send(sock, request, sizeof(request), 0) == sizeof(request), 60);
}

static int told[2]; /* the recording process writes its pid here */

static void child_waits(struct priv *p)
{
	pid_t me = getpid();
	sigset_t set;
	int sig = 0;

	(void)p;
	alarm(60); /* alarms are not inherited */
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	MUST(write(told[1], &me, sizeof(me)) == sizeof(me), 50);
	close(told[1]);
	sigwait(&set, &sig);
	_exit(sig == SIGHUP ? 51 : 52);
}

static void make_database_folder(char db[128])
{
	snprintf(db, 128, "%s/db", folder);
	if (mkdir(db, 0700) && errno != EEXIST)
		fail_msg("%s: %s", db, strerror(errno));
	assert_int_equal(chown(db, 65534, 65534), 0);
	strcat(db, "/x.db");
}

static void need_nobody(void)
{
	struct passwd *pw;

	need_tracefs();
	pw = getpwnam("nobody");
	if (!pw || pw->pw_uid != 65534 || pw->pw_gid != 65534) {
		print_message("skipped: no user nobody with the number 65534\n");
		skip();
	}
}

static void test_priv(void **state)
{
	struct probe_set s;
	char db[128];

	(void)state;
	need_nobody();
	make_database_folder(db);
	read_set(&s, GOOD_SET);
	probe_set_free(&s);
	assert_int_equal(end_of(start_daemon("nobody", db, child_uses_all)), 7);
	expect_nothing_left();
	assert_int_equal(end_of(start_daemon("nobody", db, child_dies)), 128 + SIGKILL);
	expect_nothing_left();
}

/* The privileged process waits for nobody: not for a child that does not read, and so not to be told to stop. */
static void test_priv_not_read(void **state)
{
	struct probe_set s;
	char db[128];

	(void)state;
	need_nobody();
	make_database_folder(db);
	read_set(&s, GOOD_SET);
	probe_set_free(&s);
	log_init(0, false);
	assert_int_equal(end_of(start_daemon("nobody", db, child_does_not_read)), 128 + SIGKILL);
	log_init(LOG_L_ERROR, false);
	expect_nothing_left();
}

static void test_priv_refuses(void **state)
{
	struct probe_set s;

	(void)state;
	need_nobody();
	read_set(&s, GOOD_SET);
	probe_set_free(&s);
	assert_int_equal(end_of(start_daemon("no_such_user_here", "/tmp/x.db", child_dies)), 2);
	/* The recording process says it, and the privileged one takes all away. */
	log_init(0, false);
	assert_int_equal(end_of(start_daemon("nobody", "/root/x.db", child_dies)), 1);
	log_init(LOG_L_ERROR, false);
	expect_nothing_left();
}

static void test_priv_signals(void **state)
{
	enum tracer_host host;
	struct probe_set s;
	struct error e = {{0}};
	struct tracer t;
	unsigned found;
	char db[128];
	pid_t pid, child;

	(void)state;
	need_nobody();
	make_database_folder(db);
	read_set(&s, GOOD_SET);
	probe_set_free(&s);
	assert_int_equal(pipe(told), 0);
	pid = start_daemon("nobody", db, child_waits);
	close(told[1]);
	assert_int_equal(read(told[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(kill(pid, SIGHUP), 0);
	assert_int_equal(end_of(pid), 51);
	expect_nothing_left();
	close(told[0]);

	/* The privileged process is killed: the other is told to end, and the next start finds what was left. */
	assert_int_equal(pipe(told), 0);
	pid = start_daemon("nobody", db, child_waits);
	close(told[1]);
	assert_int_equal(read(told[0], &child, sizeof(child)), sizeof(child));
	kill_hard(pid);
	while (!kill(child, 0) || errno == EINTR)
		if (usleep(1000))
			break;
	close(told[0]);
	open_tracer(&t);
	check(tracer_clean(&t, &found, &host, &e), &e);
	assert_int_equal(found, 2);
	tracer_close(&t);
	expect_nothing_left();
}

/* What the two processes send each other: whole or not at all, with a descriptor or none, and none is left over. */
static void test_packets(void **state)
{
	int pair[2], fd = 77, next, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat a, b;
	char got[8];

	(void)state;
	assert_true(null >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(packet_send(pair[0], "one", 3, -1, 0), 3);
	assert_int_equal(packet_send(pair[0], "two", 3, null, 0), 3);
	assert_int_equal(packet_send(pair[0], "too long", 9, null, 0), 9);
	assert_int_equal(packet_send(pair[0], "too long", 9, -1, 0), 9);
	assert_int_equal(packet_send(pair[0], "8 bytes.", 8, -1, 0), 8);
	assert_int_equal(packet_receive(pair[1], got, sizeof(got), &fd), 3);
	assert_int_equal(fd, -1);
	assert_memory_equal(got, "one", 3);
	assert_int_equal(packet_receive(pair[1], got, sizeof(got), &fd), 3);
	assert_memory_equal(got, "two", 3);
	assert_true(fd >= 0 && fd != null && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(!fstat(fd, &a) && !fstat(null, &b) && a.st_rdev == b.st_rdev && a.st_ino == b.st_ino);
	close(fd);
	close(null);
	next = dup(pair[0]);
	close(next);
	for (int i = 0; i < 2; i++) {
		errno = 0;
		assert_int_equal(packet_receive(pair[1], got, sizeof(got), &fd), -1);
		assert_int_equal(errno, EPROTO);
		assert_int_equal(fd, -1);
	}
	fd = dup(pair[0]);
	assert_int_equal(fd, next);
	close(fd);
	assert_int_equal(packet_receive(pair[1], got, sizeof(got), &fd), 8);
	/* nobody is there any more: no signal, and said by errno on one side, by no bytes on the other */
	close(pair[1]);
	assert_int_equal(packet_send(pair[0], "one", 3, -1, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(packet_receive(pair[0], got, sizeof(got), &fd), 0);
	close(pair[0]);
}

/* The groups that the kernel uses by default hold others' probes: cleaning up as one of them would remove those. */
static void test_instance_names(void **state)
{
	(void)state;
	assert_true(instance_valid("ioflushd"));
	assert_true(instance_valid("_a-1"));
	assert_false(instance_valid("kprobes"));
	assert_false(instance_valid("uprobes"));
	assert_false(instance_valid("synthetic"));
	assert_false(instance_valid("1a"));
	assert_false(instance_valid("a/b"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, count_descriptors, sweep)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instance_names),
		cmocka_unit_test(test_packets),
		T(test_arm),
		T(test_entries),
		T(test_rung),
		T(test_try),
		T(test_kill),
		T(test_clean_parts),
		T(test_lock),
		T(test_same_group),
		T(test_busy),
		T(test_no_tracefs),
		T(test_no_privilege),
		T(test_hosts),
		T(test_check),
		T(test_priv),
		T(test_priv_not_read),
		T(test_priv_refuses),
		T(test_priv_signals),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
