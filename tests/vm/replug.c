/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replug WHAT DEVICE DEVICE: short sequences for recordings that can be read by eye, of 16 pages each time.
 *
 *   replug   two devices share an IOAS; one is unplugged and comes back while the other stays, then both are, so that the
 *            pages are unpinned between
 *   slices   the second device has, in an IOAS of its own, a copy of one quarter; the first one's mapping goes away, and
 *            its device, and the copy stays
 */
#include "vfio.h"

#define PAGES 16u
#define LEN (PAGES * 4096)
#define IOVA 0x100000u

static void replug(int iommufd, const char *memory, const int device[2])
{
	uint32_t ioas = ioas_new(iommufd);

	MUST(device_attach(device[0], ioas));
	MUST(device_attach(device[1], ioas));
	MUST(ioas_map(iommufd, ioas, memory, LEN, IOVA));
	MUST(device_detach(device[1]));
	MUST(device_attach(device[1], ioas));
	MUST(device_detach(device[0]));
	MUST(device_detach(device[1]));
	MUST(device_attach(device[1], ioas));
	MUST(device_attach(device[0], ioas));
	MUST(ioas_unmap(iommufd, ioas, IOVA, LEN));
	MUST(device_detach(device[0]));
	MUST(device_detach(device[1]));
}

static void slices(int iommufd, const char *memory, const int device[2])
{
	uint32_t a = ioas_new(iommufd), b = ioas_new(iommufd);

	MUST(ioas_map(iommufd, a, memory, LEN, IOVA));
	MUST(device_attach(device[0], a));
	MUST(ioas_copy(iommufd, b, 2 * IOVA, a, IOVA + LEN / 4, LEN / 4));
	MUST(device_attach(device[1], b));
	MUST(ioas_unmap(iommufd, a, IOVA, LEN));
	MUST(device_detach(device[0]));
	MUST(device_detach(device[1]));
	MUST(device_attach(device[0], b));
	MUST(ioas_unmap(iommufd, b, 2 * IOVA, LEN / 4));
	MUST(device_detach(device[0]));
}

int main(int argc, char **argv)
{
	int iommufd, device[2];
	char *m;

	if (argc != 4 || (strcmp(argv[1], "replug") && strcmp(argv[1], "slices"))) {
		fputs("usage: replug replug|slices DEVICE DEVICE\n", stderr);
		return 2;
	}
	iommufd = MUST(open("/dev/iommu", O_RDWR));
	m = memory(LEN);
	for (int i = 0; i < 2; i++)
		device[i] = device_open(iommufd, argv[2 + i]);
	if (!strcmp(argv[1], "replug"))
		replug(iommufd, m, device);
	else
		slices(iommufd, m, device);
	return 0;
}
