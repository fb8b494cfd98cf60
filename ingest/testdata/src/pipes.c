/*
 * The first process of the machine that testdata/page-owner and the logs 6.12-uml of
 * slabinfo, meminfo, vmallocinfo and allocinfo come from: User Mode Linux 6.12, built
 * like that of datasets/kernel with PAGE_OWNER and MEM_ALLOC_PROFILING in addition,
 * and booted with page_owner=on and a folder of the host as its root. Each round
 * copies the files to /out, and forgets 150 pipes with two pages of data in each.
 * The sorted and culled logs are the first copy of page_owner as the kernel's
 * page_owner_sort -t, and with --cull=pid,tgid,name,stacktrace,allocator, print it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy(const char *from, const char *to)
{
	static char buf[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_APPEND, 0644);
	ssize_t n;
	if (in < 0) { dprintf(out, "cannot open %s\n", from); return; }
	while ((n = read(in, buf, sizeof buf)) > 0)
		if (write(out, buf, n) != n) break;
	close(in); close(out);
}

int main(void)
{
	static const char *files[][2] = {
		{ "/proc/slabinfo", "/out/slabinfo" }, { "/proc/meminfo", "/out/meminfo" }, { "/proc/vmallocinfo", "/out/vmallocinfo" },
		{ "/proc/allocinfo", "/out/allocinfo" }, { "/sys/kernel/debug/page_owner", "/out/page_owner" },
		{ "/sys/kernel/debug/page_owner_stacks/show_stacks", "/out/show_stacks" },
	};
	struct rlimit many = { 8192, 8192 };
	static char data[8192];
	int fds[2];
	mount("proc", "/proc", "proc", 0, 0);
	mount("sys", "/sys", "sysfs", 0, 0);
	mount("debug", "/sys/kernel/debug", "debugfs", 0, 0);
	setrlimit(RLIMIT_NOFILE, &many);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
			copy("/proc/uptime", files[i][1]);
			copy(files[i][0], files[i][1]);
		}
		for (int i = 0; i < 150; i++)
			if (!pipe(fds)) write(fds[1], data, sizeof data);
		sleep(10);
	}
	int out = open("/out/status", O_WRONLY | O_CREAT, 0644);
	write(out, "done\n", 5);
	sync();
	reboot(RB_POWER_OFF);
	return 0;
}
