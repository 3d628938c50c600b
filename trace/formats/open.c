/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens a trace by its content: reads its head, decides, and passes the descriptor to the format's opener. Names never
 * matter. A file is passed at its start; a pipe cannot go back, so the bytes read so far are passed along.
 */
#include "trace/formats/open.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/store/store.h"

#define UTF8_BOM "\xef\xbb\xbf"

#define READS \
	"ioflush reads trace.dat, the text of tracefs trace or of trace-cmd report, JSON Lines and its own databases"

enum format { FORMAT_UNKNOWN, FORMAT_TRACEDAT, FORMAT_FTEXT, FORMAT_JSONL, FORMAT_DATABASE };

static bool begins(const char *head, size_t len, const char *with, size_t n)
{
	return len >= n && !memcmp(head, with, n);
}

static const char *skip_spaces(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* Whether a timestamp, "123.456789:" (or "123456:" with other clocks), and an event's name with its colon begin at p. */
static bool is_time_and_name(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && (isdigit((unsigned char)*p) || *p == '.'))
		p++;
	if (p == start || p == end || *p != ':')
		return false;
	p = start = skip_spaces(p + 1, end);
	while (p < end && (isalnum((unsigned char)*p) || *p == '_'))
		p++;
	return p > start && p < end && *p == ':';
}

/* Whether a line is one event of ftrace text: TASK-PID [CPU] FLAGS TIME: NAME: ... */
static bool is_ftrace_line(const char *p, const char *end)
{
	const char *q;

	for (p = memchr(p, '[', (size_t)(end - p)); p; p = memchr(p + 1, '[', (size_t)(end - p - 1))) {
		for (q = p + 1; q < end && isdigit((unsigned char)*q); q++)
			;
		if (q == p + 1 || q == end || *q != ']')
			continue;
		q = skip_spaces(q + 1, end);
		if (is_time_and_name(q, end))
			return true;
		while (q < end && *q != ' ' && *q != '\t') /* the flags column */
			q++;
		if (is_time_and_name(skip_spaces(q, end), end))
			return true;
	}
	return false;
}

/* Whether any line in the head is one of ftrace text; what lies before the first may be notes on lost events. */
static bool is_ftrace_text(const char *head, size_t len)
{
	const char *p = head, *end = head + len, *eol;

	if (begins(head, len, "# tracer:", 9) || begins(head, len, "cpus=", 5) || begins(head, len, "version =", 9))
		return true;
	if (memchr(head, '\0', len))
		return false;
	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		if (is_ftrace_line(p, eol))
			return true;
	}
	return false;
}

static enum format detect(const char *head, size_t len)
{
	size_t i = begins(head, len, UTF8_BOM, 3) ? 3 : 0; /* it is harmless before JSON Lines */

	if (begins(head, len, "\x17\x08\x44tracing", 10))
		return FORMAT_TRACEDAT;
	if (begins(head, len, "SQLite format 3", 16)) /* with its NUL */
		return FORMAT_DATABASE;
	while (i < len && (head[i] == ' ' || head[i] == '\t' || head[i] == '\r' || head[i] == '\n'))
		i++;
	if (i < len && head[i] == '{')
		return FORMAT_JSONL;
	return is_ftrace_text(head, len) ? FORMAT_FTEXT : FORMAT_UNKNOWN;
}

/* Names the kind of a file that is not a trace, for the message; NULL: unknown. */
static const char *other_kind(const char *head, size_t len)
{
	static const struct {
		const char *magic, *name;
		size_t len;
	} kinds[] = {
		{"\x1f\x8b", "a gzip file: decompress it first", 2},
		{"\x28\xb5\x2f\xfd", "a zstd file: decompress it first", 4},
		{"\xfd"
		 "7zXZ",
		 "an xz file: decompress it first", 5},
		{"BZh", "a bzip2 file: decompress it first", 3},
		{"PK\x03\x04", "a zip file: unpack it first", 4},
		{"\x7f"
		 "ELF",
		 "an ELF program or library", 4},
		{"\xd4\xc3\xb2\xa1", "a pcap file", 4},
		{"\x0a\x0d\x0d\x0a", "a pcapng file", 4},
		{"PERFILE2", "a perf.data file", 8},
		{"%PDF", "a PDF file", 4},
		{"[", "a JSON array; JSON Lines has one object a line", 1},
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (begins(head, len, kinds[i].magic, kinds[i].len))
			return kinds[i].name;
	if (len >= 262 && !memcmp(head + 257, "ustar", 5))
		return "a tar archive: unpack it first";
	return memchr(head, '\0', len) ? "binary data of an unknown kind" : NULL;
}

/*
 * Reads the head; from a pipe only until the format is clear, as the writer may pause. Returns how many bytes, or -1.
 */
static ssize_t read_head(int fd, char *head, const char *path, struct error *e)
{
	size_t len = 0;
	ssize_t n;

	while (len < SOURCE_HEAD) {
		n = read(fd, head + len, SOURCE_HEAD - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(e, "%s: reading", path);
		if (!n)
			break;
		len += (size_t)n;
		if (detect(head, len) != FORMAT_UNKNOWN)
			break;
	}
	return (ssize_t)len;
}

static int refuse(const char *path, const char *head, size_t len, struct error *e)
{
	const char *kind = other_kind(head, len);

	if (!len)
		return error_set(e, "%s: is empty; " READS, path);
	if (kind)
		return error_set(e, "%s: is %s; " READS, path, kind);
	return error_set(e, "%s: the format is not known from its content; " READS, path);
}

static int open_path(const char *path, struct error *e)
{
	struct stat st;
	int fd;

	if (!strcmp(path, "-"))
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_errno(e, "%s: opening", path);
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		error_set(e, "%s: is a folder; " READS, path);
		close(fd);
		return -1;
	}
	return fd;
}

int source_open(struct source **out, const char *path, struct error *e)
{
	struct source_input in = {.path = path};
	char head[SOURCE_HEAD];
	struct stat st;
	off_t start;
	ssize_t len;
	int rc = -1;

	*out = NULL;
	in.fd = open_path(path, e);
	if (in.fd < 0)
		return -1;
	if (fstat(in.fd, &st)) {
		error_errno(e, "%s", path);
		goto fail;
	}
	start = lseek(in.fd, 0, SEEK_CUR); /* -1: a pipe */
	len = read_head(in.fd, head, path, e);
	if (len < 0)
		goto fail;
	if (start >= 0 && lseek(in.fd, start, SEEK_SET) < 0) {
		error_errno(e, "%s: going back to the start", path);
		goto fail;
	}
	if (start < 0) {
		in.head = head;
		in.head_len = (size_t)len;
	}
	switch (detect(head, (size_t)len)) {
	case FORMAT_TRACEDAT:
		rc = tracedat_open(out, &in, e);
		break;
	case FORMAT_DATABASE:
		if (!strcmp(path, "-") || start < 0) {
			error_set(e, "%s: a database cannot be read from %s; give the path of its file", path,
				  start < 0 ? "a pipe" : "standard input");
			goto fail;
		}
		rc = store_source_open(out, &in, e);
		break;
	case FORMAT_JSONL:
		rc = jsonl_open(out, &in, e);
		break;
	case FORMAT_FTEXT:
		rc = ftext_open(out, &in, e);
		break;
	case FORMAT_UNKNOWN:
		refuse(path, head, (size_t)len, e);
		goto fail;
	}
	if (!rc)
		(*out)->file = file_id_of(&st);
	return rc;
fail:
	close(in.fd);
	return -1;
}
