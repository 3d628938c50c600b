/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all sources share; see source.h. */
#include "trace/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void source_budget(struct budget *b)
{
	budget_init(b, SOURCE_MEMORY,
		    "reading a file may take; a recording takes far less: this one is damaged, or was made to take more");
}

int source_init(struct source *s, const struct source_ops *ops, const char *path, struct error *e)
{
	s->ops = ops;
	source_budget(&s->budget);
	s->path = strdup(path);
	s->strings = intern_new_within(&s->budget);
	return s->path && s->strings ? 0 : error_set(e, "%s: out of memory", path);
}

void source_free(struct source *s)
{
	intern_free(s->strings);
	free(s->path);
	free(s);
}

void source_take_head(const struct source_input *in, void *buf, size_t *len, uint64_t *size)
{
	struct stat st;

	if (in->head_len)
		memcpy(buf, in->head, in->head_len);
	*len = in->head_len;
	/* files of tracefs are regular files with size 0 */
	*size = !fstat(in->fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

double source_share(uint64_t done, uint64_t size)
{
	if (!size)
		return -1;
	return done < size ? (double)done / (double)size : 1;
}

int source_capture(struct source *s, struct capture *c, struct error *e)
{
	return s->ops->capture(s, c, e);
}

ssize_t source_read(struct source *s, struct event *ev, size_t max, struct error *e)
{
	return s->ops->read(s, ev, max, e);
}

double source_progress(struct source *s)
{
	return s->ops->progress ? s->ops->progress(s) : -1;
}

void source_dropped(struct source *s, struct dropped *d)
{
	memset(d, 0, sizeof(*d));
	if (s->ops->dropped)
		s->ops->dropped(s, d);
}

void source_close(struct source *s)
{
	if (s)
		s->ops->close(s);
}
