/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of ioflushd: from defaults, a config file ("key = value" lines, # comments) and the command line, which wins.
 * The table is options.def. Unknown keys, bad values and repeated keys are errors with file and line.
 */
#ifndef IOFLUSH_DAEMON_CONFIG_CONFIG_H
#define IOFLUSH_DAEMON_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/error.h"

#define OPT_TYPE_STR char *
#define OPT_TYPE_U64 uint64_t
#define OPT_TYPE_MS uint64_t
#define OPT_TYPE_BOOL bool

struct config {
#define OPTION(type, key, def, ph, doc) OPT_TYPE_##type key;
#include "schema/options.def"
#undef OPTION
	char *config_file; /* read from, or NULL */
	bool foreground;   /* log to standard error in any case */
	bool check;	   /* --check: say what would be recorded, and exit */
	bool disarm;	   /* --disarm: remove what a recorder of this instance left, and exit */
};

/* An option's name as users write it: with dashes. Returns out. */
#define CONFIG_NAME_MAX 64
const char *config_name(const char *key, char out[CONFIG_NAME_MAX]);

/* All defaults. 0 or -1. */
int config_defaults(struct config *c, struct error *e);

/* Reads a config file; its values replace those in c. 0 or -1. */
int config_read(struct config *c, const char *path, struct error *e);

/*
 * The command line: finds --config (or the installed default file, if it exists) and reads that file; other options
 * then replace its values. 0; 1: --help or --version was printed; -1: a usage error, or an error in the file.
 */
int config_args(struct config *c, int argc, char **argv, struct error *e);

/* Checks the values together (addresses that are not loopback need a token, sizes are in range). 0 or -1. */
int config_check(const struct config *c, struct error *e);

/* ADDR:PORT or [ADDR6]:PORT, numbers only. 0, or -1; whether the address is a loopback one. */
int config_address(const char *listen, struct sockaddr_storage *ss, bool *loopback);

/*
 * Whether an instance in tracefs, from which the names of its probes are made, can have the name: letters, digits, '_' and
 * '-', a letter or '_' first.
 */
#define INSTANCE_MAX 48 /* so that the names made from it fit what the kernel takes */
bool instance_valid(const char *name);

/* The group that the API's socket is to be given to. 1, 0: none, or -1 and the error. */
int config_listen_group(const struct config *c, gid_t *gid, struct error *e);

void config_free(struct config *c);

#endif
