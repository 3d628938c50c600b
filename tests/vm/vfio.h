/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the workloads in the guest share: iommufd and vfio devices, a call a function. Numbers are ids of iommufd. Those
 * that must succeed say where they did not, and end the program; the others return what the ioctl did.
 */
#ifndef IOFLUSH_TESTS_VM_VFIO_H
#define IOFLUSH_TESTS_VM_VFIO_H

#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MUST(x) must((x), #x, __FILE__, __LINE__)

static inline int must(int rc, const char *what, const char *file, int line)
{
	if (rc >= 0)
		return rc;
	fprintf(stderr, "%s:%d %s: %s\n", file, line, what, strerror(errno));
	exit(1);
}

/* Memory with something in it: mapped by small pages, as a guest's is at first. */
static inline char *memory(size_t size)
{
	char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memset(m, 1, size);
	return m;
}

static inline uint32_t ioas_new(int iommufd)
{
	struct iommu_ioas_alloc a = {.size = sizeof(a)};

	MUST(ioctl(iommufd, IOMMU_IOAS_ALLOC, &a));
	return a.out_ioas_id;
}

#define ACCESS (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

static inline int ioas_map(int iommufd, uint32_t ioas, const void *memory, uint64_t len, uint64_t iova)
{
	struct iommu_ioas_map m = {.size = sizeof(m),
				   .flags = ACCESS,
				   .ioas_id = ioas,
				   .user_va = (uintptr_t)memory,
				   .length = len,
				   .iova = iova};

	return ioctl(iommufd, IOMMU_IOAS_MAP, &m);
}

static inline int ioas_copy(int iommufd, uint32_t to, uint64_t to_iova, uint32_t from, uint64_t from_iova, uint64_t len)
{
	struct iommu_ioas_copy c = {.size = sizeof(c),
				    .flags = ACCESS,
				    .dst_ioas_id = to,
				    .src_ioas_id = from,
				    .length = len,
				    .dst_iova = to_iova,
				    .src_iova = from_iova};

	return ioctl(iommufd, IOMMU_IOAS_COPY, &c);
}

static inline int ioas_unmap(int iommufd, uint32_t ioas, uint64_t iova, uint64_t len)
{
	struct iommu_ioas_unmap u = {.size = sizeof(u), .ioas_id = ioas, .iova = iova, .length = len};

	return ioctl(iommufd, IOMMU_IOAS_UNMAP, &u);
}

/* The descriptor of a device, bound. */
static inline int device_open(int iommufd, const char *path)
{
	int fd = MUST(open(path, O_RDWR));
	struct vfio_device_bind_iommufd b = {.argsz = sizeof(b), .iommufd = iommufd};

	MUST(ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &b));
	return fd;
}

static inline int device_attach(int device, uint32_t ioas)
{
	struct vfio_device_attach_iommufd_pt a = {.argsz = sizeof(a), .pt_id = ioas};

	return ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}

static inline int device_detach(int device)
{
	struct vfio_device_detach_iommufd_pt d = {.argsz = sizeof(d)};

	return ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d);
}

#endif
