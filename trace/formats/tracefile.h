/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The container trace.dat of trace-cmd, versions 6 and 7 (see trace-cmd.dat.v6(5) and v7(5)): the metadata of the file,
 * and where the records are. The content of records is not known here; the caller says which event formats it wants.
 *
 * The container is read here, not by libtracecmd: that library reads beyond the end of truncated files, accepts damaged
 * ones, and spends far longer on the kernel's symbol table, which is not needed, than on all the events. libtraceevent
 * still parses the event formats, but only the wanted ones.
 *
 * Every length is checked against what encloses it before it is used. Nothing is mapped: a file that shrinks while it
 * is read gives an error, not a signal. All that the file can make large comes from a budget, also what libtraceevent
 * keeps. No byte may belong to two CPUs, or a small file could hold any number of records.
 *
 * Shape: the file has metadata and buffers (the top one and the recorded instances); each buffer has one run of
 * sub-buffers per CPU (cpudata.h reads those). Metadata are read when the file is opened, and do not change after that.
 */
#ifndef IOFLUSH_TRACE_FORMATS_TRACEFILE_H
#define IOFLUSH_TRACE_FORMATS_TRACEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event-parse.h>

#include "base/budget.h"
#include "base/error.h"
#include "trace/decoder/symbols.h"
#include "trace/dropped.h"

/* A run of sub-buffers. Whether the file really has all of it is seen when it is read. */
struct tracefile_cpu {
	uint32_t cpu;
	uint64_t offset, size; /* bytes in the file; offset + size fits in a signed 64-bit number */
	uint64_t stat_lost;    /* records lost, as per_cpu/cpuN/stats says */
};

/* Records lost on a CPU, by its statistics. */
struct tracefile_stat {
	uint32_t cpu;
	bool taken; /* by a CPU of the table */
	uint64_t lost;
};

struct tracefile_buffer {
	char *name;	    /* "": the top one */
	char *clock;	    /* NULL: as the file's */
	uint32_t page_size; /* of a sub-buffer, in bytes; 0: as header_page says */
	bool compressed;    /* the runs are of compressed chunks */
	struct tracefile_cpu *cpu;
	uint32_t cpus; /* how many */
	size_t cpus_cap;

	/* while the file is opened */
	uint32_t cpu_count;	     /* version 6: how many; 0: as many as the file */
	uint64_t offset;	     /* version 6: where its table of CPUs is; 0: the top buffer */
	struct tracefile_stat *stat; /* until the CPUs are known */
	uint32_t stats;
	size_t stats_cap;
};

/* An event whose format is not wanted: only its name is kept. */
struct tracefile_other {
	uint32_t id;
	bool probe; /* a kprobe, fprobe or the like */
	char name[OTHER_NAME];
};

/* The file owns everything except the path and the budget. */
struct tracefile {
	int fd;
	const char *path;
	uint64_t size; /* bytes */
	bool bigendian;
	uint32_t page_size;	/* bytes */
	char *host, *kernel;	/* NULL: not told */
	char *clock;		/* that of the file, NULL: not told */
	struct tep_handle *tep; /* the wanted event formats, and the commands' names */
	char *header_page;	/* text of events/header_page, without a NUL at its end */
	size_t header_page_len;
	struct tracefile_buffer *buffer; /* those without any records are left out beside others */
	uint32_t buffers;		 /* 1 or more */
	struct tracefile_other *other;
	size_t others, others_cap;
	uint64_t symbols;      /* where kallsyms is, or its section; 0: there is none */
	struct budget *budget; /* the caller's */

	/* while the file is opened */
	unsigned version, long_size;
	size_t buffers_cap;
	uint32_t cpu_count; /* 0: not told */
	uint32_t formats;   /* wanted ones, so far */
	char *compression;  /* name of the algorithm; also for tracefile_unpack() */
	bool has_text;
	bool (*wanted)(const char *name, size_t len);
};

/*
 * Reads the metadata of the trace.dat open as fd, which can seek and is the file's from now on, even when this fails.
 * path is for messages; it and the budget must live as long. wanted says for the name (len bytes, no NUL) of an event whether its
 * format is to be parsed. If the file has none of those, another one is: all formats tell where a record has its event's id. It
 * is an error if there is none at all. 0, or -1 and the error.
 */
int tracefile_open(struct tracefile **out, int fd, const char *path, struct budget *budget,
		   bool (*wanted)(const char *name, size_t len), struct error *e);
void tracefile_close(struct tracefile *tf); /* NULL is fine */

/* Names n records that are not ours by their event's id. Those of iommu:map and iommu:unmap it adds to tracepoints. */
void tracefile_name_other(const struct tracefile *tf, uint32_t id, uint64_t n, struct dropped *d);

/* The function that an address is in, by the file's kernel symbols. Reads all of them. false: they do not tell. */
bool tracefile_symbol(struct tracefile *tf, uint64_t address, char out[SYMBOL_MAX]);

/* Unpacks len bytes into exactly size. 0, or -1 and the error (without the place). */
int tracefile_unpack(const struct tracefile *tf, void *to, size_t size, const void *from, size_t len, struct error *e);

#endif
