/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of ioflushd; see config.h. Everything is generated from options.def: struct members, defaults, keys of the
 * file, the command line, --help and the sample file (--help-config), so that no option can be forgotten anywhere.
 *
 * Precedence: defaults, then the file, then the command line. A value is checked where it is read, so that the error
 * can name its place; check.c checks values that depend on each other.
 */
#include "daemon/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "daemon/config/exit.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unconfigured"
#endif
#ifndef IOFLUSH_SYSCONFDIR
#define IOFLUSH_SYSCONFDIR "/etc"
#endif

#define DEFAULT_FILE IOFLUSH_SYSCONFDIR "/ioflush/ioflushd.conf"
#define MAX_LINE 4096

enum option_type { TYPE_STR, TYPE_U64, TYPE_MS, TYPE_BOOL };

struct option_desc {
	enum option_type type;
	size_t offset;	 /* in struct config */
	const char *key; /* with '_' */
	const char *def, *ph, *doc;
};

#define OPTION(type, key, def, ph, doc) {TYPE_##type, offsetof(struct config, key), #key, def, ph, doc},
static const struct option_desc options[] = {
#include "schema/options.def"
};
#undef OPTION

#define NOPTIONS (sizeof(options) / sizeof(options[0]))

/* Long options besides those of the table. */
enum { OPT_CONFIG = 1000, OPT_FOREGROUND, OPT_CHECK, OPT_DISARM, OPT_HELP, OPT_HELP_CONFIG, OPT_VERSION };

static const struct option more_options[] = {
	{"config", required_argument, NULL, OPT_CONFIG}, {"foreground", no_argument, NULL, OPT_FOREGROUND},
	{"check", no_argument, NULL, OPT_CHECK},	 {"disarm", no_argument, NULL, OPT_DISARM},
	{"help", no_argument, NULL, OPT_HELP},		 {"help-config", no_argument, NULL, OPT_HELP_CONFIG},
	{"version", no_argument, NULL, OPT_VERSION},
};

#define NMORE (sizeof(more_options) / sizeof(more_options[0]))
#define MAX_KEY CONFIG_NAME_MAX

static void *member_of(struct config *c, const struct option_desc *o)
{
	return (char *)c + o->offset;
}

const char *config_name(const char *key, char out[MAX_KEY])
{
	size_t i;

	for (i = 0; key[i] && i < MAX_KEY - 1; i++)
		out[i] = key[i] == '_' ? '-' : key[i];
	out[i] = 0;
	return out;
}

/* --- misspelt names */

static size_t min3(size_t a, size_t b, size_t c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

/* Edit distance of two names; a name longer than MAX_KEY is far from all. */
static size_t distance(const char *a, const char *b)
{
	size_t row[MAX_KEY + 1], la = strlen(a), lb = strlen(b), i, j, diagonal, old;

	if (la >= MAX_KEY || lb >= MAX_KEY)
		return MAX_KEY;
	for (j = 0; j <= lb; j++)
		row[j] = j;
	for (i = 1; i <= la; i++) {
		diagonal = row[0];
		row[0] = i;
		for (j = 1; j <= lb; j++) {
			old = row[j];
			row[j] = min3(row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = old;
		}
	}
	return row[lb];
}

static void consider(const char *have, const char *name, char best[MAX_KEY], size_t *least)
{
	size_t d = distance(have, name);

	if (d >= *least)
		return;
	*least = d;
	snprintf(best, MAX_KEY, "%s", name);
}

/* The known key nearest to name. with_more: also options that only the command line has. */
static const char *nearest(const char *name, bool with_more, char best[MAX_KEY])
{
	size_t i, least = MAX_KEY + 1;
	char key[MAX_KEY];

	for (i = 0; i < NOPTIONS; i++)
		consider(name, config_name(options[i].key, key), best, &least);
	for (i = 0; with_more && i < NMORE; i++)
		consider(name, more_options[i].name, best, &least);
	return best;
}

static const struct option_desc *find_option(const char *name)
{
	char key[MAX_KEY];
	size_t i;

	for (i = 0; i < NOPTIONS; i++)
		if (!strcmp(config_name(options[i].key, key), name))
			return &options[i];
	return NULL;
}

/* --- values */

/* A number and what follows it; -1: none, or too large. */
static int parse_number(const char *text, uint64_t *n, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -1;
	errno = 0;
	*n = strtoull(text, &end, 10);
	*rest = end;
	return errno ? -1 : 0;
}

static int parse_time(const char *text, uint64_t *out)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	const char *rest;
	uint64_t n;
	size_t i;

	if (parse_number(text, &n, &rest))
		return -1;
	*out = 0;
	if (!n && !*rest)
		return 0;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(rest, units[i].suffix)) {
			if (n > UINT64_MAX / 1000000 / units[i].ms) /* it must fit in nanoseconds, too */
				return -1;
			*out = n * units[i].ms;
			return 0;
		}
	return -1;
}

static int parse_bool(const char *text, bool *out)
{
	*out = !strcmp(text, "yes");
	return *out || !strcmp(text, "no") ? 0 : -1;
}

/* Sets one option from text. where: "file:line: " or "--", the beginning of the error. */
static int set_option(struct config *c, const struct option_desc *o, const char *where, const char *text, struct error *e)
{
	void *member = member_of(c, o);
	const char *want = NULL;
	char key[MAX_KEY], **str = member;
	char *copy;

	switch (o->type) {
	case TYPE_STR:
		copy = strdup(text);
		if (!copy)
			return error_set(e, "out of memory");
		free(*str);
		*str = copy;
		break;
	case TYPE_U64:
		if (parse_size(text, member))
			want = "a whole number is wanted, which may end in K, M or G";
		break;
	case TYPE_MS:
		if (parse_time(text, member))
			want = "a whole number with its unit is wanted: ms, s, m, h or d (or 0)";
		break;
	case TYPE_BOOL:
		if (parse_bool(text, member))
			want = "yes or no is wanted";
		break;
	}
	return want ? error_set(e, "%s%s: \"%s\": %s", where, config_name(o->key, key), text, want) : 0;
}

int config_defaults(struct config *c, struct error *e)
{
	size_t i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < NOPTIONS; i++)
		if (set_option(c, &options[i], "default of ", options[i].def, e)) {
			config_free(c);
			return -1;
		}
	return 0;
}

int config_listen_group(const struct config *c, gid_t *gid, struct error *e)
{
	struct group *g;

	if (!c->listen_group || !*c->listen_group || strncmp(c->listen, "unix:", 5))
		return 0;
	errno = 0;
	g = getgrnam(c->listen_group);
	if (!g)
		return error_set(e, "listen-group: \"%s\": %s", c->listen_group,
				 errno ? strerror(errno) : "there is no such group");
	*gid = g->gr_gid;
	return 1;
}

void config_free(struct config *c)
{
	size_t i;

	for (i = 0; i < NOPTIONS; i++) {
		char **str = member_of(c, &options[i]);

		if (options[i].type == TYPE_STR)
			free(*str);
	}
	free(c->config_file);
	memset(c, 0, sizeof(*c));
}

/* --- the file */

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r\n");
	for (n = strlen(s); n && strchr(" \t\r\n", s[n - 1]); n--)
		;
	s[n] = 0;
	return s;
}

/* A comment begins at a '#' at the start of the line or after a blank. */
static void cut_comment(char *line)
{
	char *p;

	for (p = line; *p; p++)
		if (*p == '#' && (p == line || p[-1] == ' ' || p[-1] == '\t')) {
			*p = 0;
			return;
		}
}

static int read_line(struct config *c, const char *path, unsigned n, char *line, unsigned seen[NOPTIONS], struct error *e)
{
	char where[MAX_LINE], best[MAX_KEY];
	const struct option_desc *o;
	char *key, *value;

	cut_comment(line);
	key = trim(line);
	if (!*key)
		return 0;
	value = strchr(key, '=');
	if (!value)
		return error_set(e, "%s:%u: \"%.60s\": a line is \"key = value\"", path, n, key);
	*value++ = 0;
	key = trim(key);
	value = trim(value);
	o = find_option(key);
	if (!o)
		return error_set(e, "%s:%u: unknown key \"%.60s\"; the nearest is \"%s\"", path, n, key,
				 nearest(key, false, best));
	if (seen[o - options])
		return error_set(e, "%s:%u: %s was set in line %u already", path, n, key, seen[o - options]);
	seen[o - options] = n;
	snprintf(where, sizeof(where), "%s:%u: ", path, n);
	return set_option(c, o, where, value, e);
}

int config_read(struct config *c, const char *path, struct error *e)
{
	unsigned seen[NOPTIONS] = {0}, n = 0;
	char line[MAX_LINE + 2];
	FILE *f = fopen(path, "re");
	char *copy;
	int ret = 0;

	if (!f)
		return error_errno(e, "%s", path);
	copy = strdup(path);
	if (!copy) {
		ret = error_set(e, "out of memory");
		goto out;
	}
	free(c->config_file);
	c->config_file = copy;
	while (!ret && fgets(line, sizeof(line), f)) {
		n++;
		if (strlen(line) > MAX_LINE)
			ret = error_set(e, "%s:%u: the line is longer than %d bytes", path, n, MAX_LINE);
		else
			ret = read_line(c, path, n, line, seen, e);
	}
	if (!ret && ferror(f))
		ret = error_errno(e, "%s", path);
out:
	fclose(f);
	return ret;
}

/* --- the command line */

static void print_default(const struct option_desc *o, FILE *out)
{
	fprintf(out, "%s", *o->def ? o->def : "none");
}

static void print_help(void)
{
	char key[MAX_KEY];
	size_t i;

	printf("usage: ioflushd [OPTION]...\n\n"
	       "Records what iommufd does on this host into a database, for ioflush to replay.\n\n"
	       "      --config=FILE  read options from FILE (default: " DEFAULT_FILE ", if it exists)\n"
	       "      --foreground   log to standard error in plain text, with times\n"
	       "      --check        print what could be recorded here and what would be missing, and exit\n"
	       "      --disarm       remove the probes and the instance that a killed ioflushd left, and exit\n"
	       "      --help         this help\n"
	       "      --help-config  print a config file that explains every option\n"
	       "      --version      print the version\n\n"
	       "Each of these is a key of the config file, too. The command line wins.\n\n");
	for (i = 0; i < NOPTIONS; i++) {
		bool flag = options[i].type == TYPE_BOOL;

		printf("      --%s%s=%s%s\n            %s (", config_name(options[i].key, key), flag ? "[" : "",
		       options[i].ph, flag ? "]" : "", options[i].doc);
		print_default(&options[i], stdout);
		printf(")\n");
	}
	printf("\nExit status of --check: 0 all needed events can be recorded, %d no tracefs, %d no privilege, %d lockdown,\n"
	       "%d no probes in this kernel, %d no iommufd, %d needed events are unavailable; 1 other errors, 2 usage.\n"
	       "Of --disarm: 0 nothing is left, %d a recorder uses the instance and nothing was removed.\n",
	       TRACER_HOST_NO_TRACEFS, TRACER_HOST_NO_PRIVILEGE, TRACER_HOST_LOCKDOWN, TRACER_HOST_NO_PROBES,
	       TRACER_HOST_NO_IOMMUFD, TRACER_HOST_INCOMPLETE, TRACER_HOST_IN_USE);
}

static void print_sample(void)
{
	static const char *const values[] = {
		[TYPE_STR] = "text",
		[TYPE_U64] = "a number, may end in K, M or G (1024, 1024^2, 1024^3)",
		[TYPE_MS] = "a time: a number with ms, s, m, h or d",
		[TYPE_BOOL] = "yes or no",
	};
	char key[MAX_KEY];
	size_t i;

	printf("# Options of ioflushd: \"key = value\", comments begin with #. An option that is not set has the default shown.\n"
	       "# Unknown keys are errors. The same options on the command line, --key=value, win.\n");
	for (i = 0; i < NOPTIONS; i++)
		printf("\n# %s: %s\n# %s\n#%s =%s%s\n", options[i].ph, values[options[i].type], options[i].doc,
		       config_name(options[i].key, key), *options[i].def ? " " : "", options[i].def);
}

/* getopt's table: ours, then more_options; keys must outlive it. */
struct long_options {
	struct option o[NOPTIONS + NMORE + 1];
	char key[NOPTIONS][MAX_KEY];
};

static void make_long_options(struct long_options *l)
{
	size_t i;

	memset(l, 0, sizeof(*l));
	for (i = 0; i < NOPTIONS; i++) {
		l->o[i].name = config_name(options[i].key, l->key[i]);
		l->o[i].has_arg = options[i].type == TYPE_BOOL ? optional_argument : required_argument;
		l->o[i].val = (int)i;
	}
	memcpy(&l->o[NOPTIONS], more_options, sizeof(more_options));
}

static int bad_option(int opt, char *const *argv, struct error *e)
{
	const char *arg = argv[optind - 1];
	char name[MAX_KEY], best[MAX_KEY];

	if (opt == ':')
		return error_set(e, "%s: a value is missing; see ioflushd --help", arg);
	if (strncmp(arg, "--", 2))
		return error_set(e, "unknown option %s; see ioflushd --help", arg);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(arg + 2, "="), arg + 2);
	if (find_option(name) || !strcmp(name, nearest(name, true, best)))
		return error_set(e, "%s: the option takes no value; see ioflushd --help", arg);
	return error_set(e, "unknown or ambiguous option --%s; the nearest is --%s", name, best);
}

/* One pass over the command line. c NULL: only finds --config and options that print and end. 0, 1: printed, -1. */
static int scan_args(struct config *c, int argc, char **argv, const char **file, struct error *e)
{
	struct long_options l;
	int opt;

	make_long_options(&l);
	optind = 0; /* starts again, whoever used getopt before */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", l.o, NULL)) != -1) {
		switch (opt) {
		case OPT_CONFIG:
			*file = optarg;
			break;
		case OPT_FOREGROUND:
		case OPT_CHECK:
		case OPT_DISARM:
			if (c)
				*(opt == OPT_CHECK  ? &c->check :
				  opt == OPT_DISARM ? &c->disarm :
						      &c->foreground) = true;
			break;
		case OPT_HELP:
			print_help();
			return 1;
		case OPT_HELP_CONFIG:
			print_sample();
			return 1;
		case OPT_VERSION:
			printf("ioflushd %s\n", PACKAGE_VERSION);
			return 1;
		case ':':
		case '?':
			return bad_option(opt, argv, e);
		default:
			if (c && set_option(c, &options[opt], "--", optarg ? optarg : "yes", e))
				return -1;
		}
	}
	if (optind < argc)
		return error_set(e, "\"%s\" is no option; see ioflushd --help", argv[optind]);
	return 0;
}

int config_args(struct config *c, int argc, char **argv, struct error *e)
{
	const char *file = NULL;
	int ret = scan_args(NULL, argc, argv, &file, e);

	if (ret)
		return ret;
	if (!file && !access(DEFAULT_FILE, F_OK))
		file = DEFAULT_FILE;
	if (file && config_read(c, file, e))
		return -1;
	return scan_args(c, argc, argv, &file, e);
}
