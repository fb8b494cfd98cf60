/*
 * The first process of the kernel lab: carries out /plan, a command on each line,
 * and switches the machine off.
 *
 *	load FILE [PARAMETERS]   load a kernel module
 *	unload NAME              and unload it
 *	run NAME COUNT PAUSE     start a process of this name that makes COUNT requests,
 *	                         PAUSE milliseconds apart on average
 *	wait SECONDS
 *	scan                     scan; add the suspects to /out/kmemleak.log and the
 *	                         time in jiffies and their rate to /out/scans
 *	copy FROM TO             copy a file
 *	dmesg                    write the kernel log to /out/dmesg.log
 *	done                     switch off
 *
 * A command that fails ends the plan; /out/status tells how it ended: "done", or
 * the command and what was wrong. The folder is the host's: see boot in boot.go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KMEMLEAK "/sys/kernel/debug/kmemleak"
#define LAB "/sys/kernel/debug/lab/"

static int scans;

static int append(const char *to, const char *text)
{
	FILE *f = fopen(to, "a");

	if (!f)
		return -1;
	fputs(text, f);
	return fclose(f);
}

static int copy(const char *from, const char *to, int mode)
{
	static char buf[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | mode, 0644);
	ssize_t n = -1;

	if (in >= 0 && out >= 0)
		while ((n = read(in, buf, sizeof(buf))) > 0)
			if (write(out, buf, n) != n)
				return -1;
	close(in);
	return close(out) ? -1 : n;
}

static int load(const char *file, const char *parameters)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 ? -1 : syscall(SYS_finit_module, fd, parameters, 0);

	close(fd);
	return err;
}

static int scan(void)
{
	char mark[64], now[64] = "";
	int fd, n, hz;

	fd = open(LAB "now", O_RDONLY);
	n = read(fd, now, sizeof(now) - 1);
	close(fd);
	fd = open(KMEMLEAK, O_WRONLY);
	if (n <= 0 || sscanf(now, "%*u %d", &hz) != 1 || fd < 0 || write(fd, "scan", 4) != 4)
		return -1;
	close(fd);
	snprintf(mark, sizeof(mark), "# kmemleak scan %d CONFIG_HZ=%d\n", ++scans, hz);
	if (append("/out/scans", now) || append("/out/kmemleak.log", mark))
		return -1;
	return copy(KMEMLEAK, "/out/kmemleak.log", O_APPEND);
}

/* One request: a file is opened, written to a few times, and closed. */
static void request(void)
{
	static char data[2048];
	int fd = open(LAB "request", O_WRONLY), n = 1 + rand() % 4;

	if (fd < 0)
		return;
	while (n--)
		if (write(fd, data, 16 + rand() % 1000) < 0)
			break;
	close(fd);
}

static int run(const char *name, int count, int pause)
{
	pid_t pid = fork();

	if (pid)
		return pid < 0 ? -1 : 0;
	prctl(PR_SET_NAME, name);
	srand(getpid() * 7919 + count);
	while (count--) {
		request();
		usleep(1000 * (pause / 2 + rand() % (pause + 1)));
	}
	_exit(0);
}

static int dmesg(void)
{
	static char buf[1 << 20];
	int n = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, buf, sizeof(buf) - 1);

	return n < 0 ? -1 : append("/out/dmesg.log", buf);
}

static int command(char *line)
{
	char *name = strtok(line, " \n"), *a = strtok(NULL, " \n"), *b = strtok(NULL, "\n");
	int count = 0, pause = 0;

	if (!name)
		return 0;
	if (!strcmp(name, "load") && a)
		return load(a, b ? b : "");
	if (!strcmp(name, "unload") && a)
		return syscall(SYS_delete_module, a, 0);
	if (!strcmp(name, "run") && b && sscanf(b, "%d %d", &count, &pause) == 2)
		return run(a, count, pause);
	if (!strcmp(name, "wait") && a)
		return sleep(atoi(a));
	if (!strcmp(name, "scan"))
		return scan();
	if (!strcmp(name, "copy") && b)
		return copy(a, b, O_TRUNC);
	if (!strcmp(name, "dmesg"))
		return dmesg();
	errno = EINVAL;
	return -1;
}

static void off(const char *status)
{
	append("/out/status", status);
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

int main(void)
{
	char line[1024], said[1024], status[2048];
	FILE *plan;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	plan = fopen("/plan", "r");
	if (!plan)
		off("no plan\n");
	while (fgets(line, sizeof(line), plan)) {
		strcpy(said, line);
		if (!strcmp(line, "done\n"))
			off("done\n");
		errno = 0;
		if (command(line)) {
			snprintf(status, sizeof(status), "%s: %.900s", strerror(errno), said);
			off(status);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	off("the plan has no end\n");
}
