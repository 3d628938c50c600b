/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets of struct members: from this kernel's BTF if it has one, compared with another reader of it (for the kernel's
 * struct list_head, whose layout is certain), and from the probe set's table if there is none.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/probes/layout.h"

static struct probe_member members[] = {
	{(char *)"list_head.prev", 77}, {(char *)"iopt_area.node.last", 32}, {(char *)"in_module.member", 32}};
static const struct probe_set set = {.member = members, .nmembers = 3};

static void expect(const char *root, const char *line, const char *want, const char *from)
{
	struct layout *l = layout_new(root, &set);
	struct error e = {{0}};
	const char *got_from;
	char *got;

	assert_non_null(l);
	got = layout_resolve(l, line, &got_from, &e);
	if (!got)
		fail_msg("%s: %s", line, e.text);
	assert_string_equal(got, want);
	if (from)
		assert_non_null(strstr(got_from, from));
	else
		assert_null(got_from);
	free(got);
	layout_free(l);
}

static void refuse(const char *root, const char *line, const char *part)
{
	struct layout *l = layout_new(root, &set);
	struct error e = {{0}};
	const char *from;

	assert_non_null(l);
	assert_null(layout_resolve(l, line, &from, &e));
	if (!strstr(e.text, part))
		fail_msg("the error is \"%s\", without \"%s\"", e.text, part);
	layout_free(l);
}

static void test_table(void **state)
{
	(void)state;
	expect("/nowhere", "p:a/map b c=%di", "p:a/map b c=%di", NULL);
	expect("/nowhere", "p:a/map b c=+{iopt_area.node.last}(%di):x64 d=+{list_head.prev}(%si)",
	       "p:a/map b c=+32(%di):x64 d=+77(%si)", "table");
	refuse("/nowhere", "p:a/map b c=+{iopt_area.node}(%di)", "no @layout of iopt_area.node");
}

static void test_btf(void **state)
{
	(void)state;
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		skip();
	expect("", "p:a/map b c=+{list_head.prev}(%di)", "p:a/map b c=+8(%di)", "BTF");
	/* nested, behind a typedef and in a struct without a name: struct page begins with flags and a union of structs */
	expect("", "p:a/map b c=+{page.lru.prev}(%di)", "p:a/map b c=+16(%di)", "BTF");
	expect("", "p:a/map b c=+{hlist_bl_node.pprev}(%di)", "p:a/map b c=+8(%di)", "BTF");
	/* the table is for kernels that have none */
	refuse("", "p:a/map b c=+{no_such_struct.node}(%di)", "BTF has no no_such_struct.node");
	refuse("", "p:a/map b c=+{list_head.node}(%di)", "BTF has no list_head.node");
	/* a bitfield has no address */
	refuse("", "p:a/map b c=+{iphdr.version}(%di)", "BTF has no iphdr.version");
}

static void make_file(const char *root, const char *path)
{
	char whole[256], *slash;
	FILE *f;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (slash = whole + strlen(root); (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		if (mkdir(whole, 0700) && errno != EEXIST)
			fail_msg("%s: %s", whole, strerror(errno));
		*slash = '/';
	}
	f = fopen(whole, "w");
	assert_non_null(f);
	fclose(f);
}

/* A kernel with BTF, and the module iommufd without. */
static void test_module_without_btf(void **state)
{
	char root[] = "/tmp/ioflush-layout-XXXXXX", path[256];

	(void)state;
	if (access("/sys/kernel/btf/vmlinux", R_OK) || !access("/sys/kernel/btf/iommufd", R_OK))
		skip();
	assert_non_null(mkdtemp(root));
	make_file(root, "/sys/kernel/btf/vmlinux");
	snprintf(path, sizeof(path), "%s/sys/kernel/btf/vmlinux", root);
	assert_int_equal(remove(path) || symlink("/sys/kernel/btf/vmlinux", path), 0);
	refuse(root, "p:a/map b c=+{iopt_area.no_such}(%di)", "not loaded");
	make_file(root, "/sys/module/iommufd/initstate");
	refuse(root, "p:a/map b c=+{iopt_area.no_such}(%di)", "no @layout of iopt_area.no_such");
	expect(root, "p:a/map b c=+{in_module.member}(%di)", "p:a/map b c=+32(%di)", "module");
	expect(root, "p:a/map b c=+{list_head.prev}(%di)", "p:a/map b c=+8(%di)", "this kernel's BTF");
	snprintf(path, sizeof(path), "rm -r %s", root);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_btf),
		cmocka_unit_test(test_module_without_btf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
