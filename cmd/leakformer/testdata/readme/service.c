// A small mail service, for README.md: ./service JOBS SEED CANCELLED
// keeps its users for ever, the last 40 templates for a while, and each job
// until it is sent. CANCELLED % of the jobs are cancelled instead: there is the bug.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job { char *to, *body; int due; struct job *next; };

static char *users[300], *templates[40];
static struct job *queue;

static int draw(int below) { return rand() % below; }

static char *text(int shortest, int longest)
{
	size_t n = shortest + draw(longest - shortest);
	char *s = malloc(n + 1);
	memset(s, 'x', n);
	s[n] = 0;
	return s;
}

static char *template(int number)
{
	char **slot = &templates[number % 40];
	if (!*slot || draw(12) == 0) {
		free(*slot);
		*slot = text(200, 900);
	}
	return *slot;
}

static void submit(int now)
{
	struct job *j = malloc(sizeof *j);
	int user = draw(300);
	if (!users[user])
		users[user] = text(5, 30);
	j->to = strdup(users[user]);
	j->body = strdup(template(draw(100)));
	j->due = now + 1 + draw(15);
	j->next = queue;
	queue = j;
}

static void cancel(struct job *j)
{
	free(j->body);
	free(j); // and j->to?
}

static void done(struct job *j)
{
	free(j->to);
	free(j->body);
	free(j);
}

int main(int argc, char **argv)
{
	int jobs = argc > 1 ? atoi(argv[1]) : 500, cancelled = argc > 3 ? atoi(argv[3]) : 0;
	srand(argc > 2 ? atoi(argv[2]) : 1);
	for (int now = 0; now < jobs; now++) {
		submit(now);
		for (struct job **p = &queue; *p;) {
			struct job *j = *p;
			if (j->due > now) {
				p = &j->next;
				continue;
			}
			*p = j->next;
			if (draw(100) < cancelled)
				cancel(j);
			else
				done(j);
		}
	}
	while (queue) {
		struct job *j = queue;
		queue = j->next;
		done(j);
	}
	return 0;
}
