# Grows a cache for ever in one line, and drops in another what it made. It prints
# what tracemalloc knows after each phase, in the form that is asked for.
import sys
import tracemalloc

cache = {}


def keep(n):
    cache[n] = bytearray(100)


def work(n):
    return len(str(n) * 1000)


form = sys.argv[1]
tracemalloc.start(5 if form == "traceback" else 1)
before = tracemalloc.take_snapshot()
for phase in range(3):
    for i in range(1000):
        keep(phase * 1000 + i)
        work(i)
    snapshot = tracemalloc.take_snapshot()
    print(f"[ phase {phase} ]")
    if form == "statistics":
        for stat in snapshot.statistics("lineno"):
            print(stat)
    elif form == "difference":
        for stat in snapshot.compare_to(before, "lineno"):
            print(stat)
    else:
        for stat in snapshot.statistics("traceback"):
            print("%s memory blocks: %.1f KiB" % (stat.count, stat.size / 1024))
            for line in stat.traceback.format():
                print(line)
