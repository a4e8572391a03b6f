/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * forks HOW COUNT: children that end at once, by exit status 7 or by SIGKILL;
 * prints each one's pid. `threads` makes threads, which are not processes.
 */
#include "trigger.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void *nothing(void *arg)
{
	return arg;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("forks exit|kill|threads COUNT");
	for (long n = atol(argv[2]); n > 0; n--) {
		if (!strcmp(argv[1], "threads")) {
			pthread_t thread;

			if (pthread_create(&thread, NULL, nothing, NULL) ||
			    pthread_join(thread, NULL))
				die("pthread_create");
			continue;
		}
		pid_t child = fork();

		if (child == 0) {
			if (!strcmp(argv[1], "kill"))
				kill(getpid(), SIGKILL);
			_exit(7);
		}
		if (child < 0 || waitpid(child, NULL, 0) != child)
			die("fork");
		printf("%d 0\n", child);
	}
	return 0;
}
