// C++ programs with one bug each; see bugs.c for the arguments.
#include "leak.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

static uint64_t state = 1;
static double leak_rate;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33) % below;
}

static bool strikes() { return draw(1000000) < leak_rate * 1000000; }

static std::string words(uint32_t n)
{
	std::string text;
	while (n--)
		text += "word" + std::to_string(draw(100000)) + " ";
	return text;
}

// --- exception-path: a raw pointer is not deleted when the parser throws.

struct Document {
	int lines[24];
};

static void parse(Document &d, const std::string &text)
{
	d.lines[0] = (int)text.size();
	if (draw(15) == 0)
		throw std::runtime_error("cannot parse " + text.substr(0, 20));
}

static void exception_path()
{
	Document *d = new Document();
	try {
		parse(*d, words(1 + draw(10)));
	} catch (const std::exception &) {
		if (strikes()) {
			leak_mark(d, LEAK_LOST);
			return;
		}
	}
	delete d;
}

// --- shared-cycle: two objects keep each other alive.

struct Peer {
	std::shared_ptr<Peer> other;
	std::weak_ptr<Peer> watcher;
	char name[40];
};

static void shared_cycle()
{
	auto a = std::make_shared<Peer>(), b = std::make_shared<Peer>();
	a->other = b;
	if (draw(10) == 0 && strikes()) {
		b->other = a;
		leak_mark(reinterpret_cast<char *>(a.get()) - 16, LEAK_LOST); // make_shared: the block begins at the counters
		leak_mark(reinterpret_cast<char *>(b.get()) - 16, LEAK_LOST);
	} else {
		b->watcher = a;
	}
}

// --- unbounded-map: results by request, never evicted. Reachable to the end.

struct Result {
	std::vector<int> values;
};

// Made once and never destroyed: it is reachable to the very end.
static auto &results = *new std::map<uint32_t, Result *>;

static void unbounded_map()
{
	static uint32_t next;
	Result *r = new Result{std::vector<int>(1 + draw(30))};
	results[next] = r;
	if (next >= 100) {
		auto old = results.find(next - 100);
		if (old != results.end()) {
			if (draw(8) == 0 && strikes()) { // should go now, and stays
				leak_mark(old->second->values.data(), LEAK_GROWTH);
				leak_mark(old->second, LEAK_GROWTH);
				leak_mark(reinterpret_cast<char *>(&*old) - 32, LEAK_GROWTH); // the tree's node
			} else {
				delete old->second;
				results.erase(old);
			}
		}
	}
	next++;
}

static const struct {
	const char *name;
	void (*round)();
} bugs[] = {{"exception-path", exception_path}, {"shared-cycle", shared_cycle}, {"unbounded-map", unbounded_map}};

int main(int argc, char **argv)
{
	char bug[40] = "";
	int rounds = 20000;
	for (int i = 1; i < argc; i++) {
		unsigned long n;
		if (sscanf(argv[i], "--bug=%39s", bug) == 1 || sscanf(argv[i], "--rounds=%d", &rounds) == 1 ||
		    sscanf(argv[i], "--leak=%lf", &leak_rate) == 1)
			continue;
		if (sscanf(argv[i], "--seed=%lu", &n) == 1)
			state = n;
	}
	for (const auto &b : bugs) {
		if (strcmp(b.name, bug) != 0)
			continue;
		for (int r = 0; r < rounds; r++) {
			std::string request = words(1 + draw(5)); // what every round does
			b.round();
		}
		printf("leaked %zu blocks\n", leak_count);
		return 0;
	}
	fputs("usage: bugs --bug=NAME [--rounds=N] [--seed=N] [--leak=RATE]\n", stderr);
	return 2;
}
