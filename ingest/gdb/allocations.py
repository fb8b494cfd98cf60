# Writes what a program allocates and frees to a log that leakformer reads:
#
#   leakformer formats --gdb-script > allocations.py
#   gdb -q -batch -x allocations.py --args PROGRAM ARGUMENTS
#
# The log is allocations.PID.log, or what the variable ALLOCATIONS_LOG names. It
# needs a gdb with Python, and no other preparation of the program: a breakpoint at
# the entry of each function of the allocator, and one where its caller goes on.
# That is slow (some hundred calls a second), and the program's clock goes wrong by
# it, but it works where nothing can be preloaded and Valgrind does not run.
#
# A line for each call, then its callers, the innermost first, as columns with tabs:
#
#   SECONDS PID TID malloc(24) = 0x5555555592a0
#       ADDRESS FUNCTION FILE:LINE MODULE [inlined]
import os
import time

import gdb

# The arguments of each function, and whether it returns a block.
FUNCTIONS = {
    "malloc": (1, True), "calloc": (2, True), "realloc": (2, True), "reallocarray": (3, True),
    "memalign": (2, True), "aligned_alloc": (2, True), "posix_memalign": (3, True),
    "valloc": (1, True), "pvalloc": (1, True), "free": (1, False),
}
# Arguments that are addresses.
POINTERS = {"free": 0, "realloc": 0, "reallocarray": 0, "posix_memalign": 0}
ARGUMENTS = {"i386:x86-64": ("rdi", "rsi", "rdx", "rax"), "aarch64": ("x0", "x1", "x2", "x0")}
DEPTH = 64


class Tracer:
    def __init__(self):
        self.entries = {}  # breakpoint number -> function
        self.returns = set()  # addresses with a breakpoint
        self.open = {}  # thread -> (return address, stack pointer, function, arguments, callers)
        self.live = set()
        self.allocs = self.frees = 0
        self.log = None
        self.start = 0
        self.hit = []

    def run(self):
        for setting in ("pagination off", "breakpoint pending on", "print thread-events off", "confirm off"):
            gdb.execute("set " + setting)
        gdb.execute("handle all nostop noprint pass", to_string=True)
        for name in FUNCTIONS:
            self.entries[silent(name).number] = name
        gdb.events.stop.connect(self.stopped)
        gdb.execute("run")
        while gdb.selected_inferior().pid != 0:
            for breakpoint in self.hit:
                self.step(breakpoint)
            self.hit = []
            gdb.execute("continue", to_string=True)
        if self.log:
            self.log.write("end: %d allocs, %d frees\n" % (self.allocs, self.frees))
            self.log.close()

    def stopped(self, event):
        if isinstance(event, gdb.BreakpointEvent):
            self.hit = list(event.breakpoints)

    def step(self, breakpoint):
        thread = gdb.selected_thread().ptid
        frame = gdb.newest_frame()
        name = self.entries.get(breakpoint.number)
        if name is None:
            self.leave(thread, frame)
        elif thread not in self.open and not os.path.basename(module(frame.pc())).startswith("ld-"):
            self.enter(thread, frame, name)

    def enter(self, thread, frame, name):
        caller = frame.older()
        registers = ARGUMENTS[frame.architecture().name()]
        count, returns = FUNCTIONS[name]
        args = [int(frame.read_register(r)) & (1 << 64) - 1 for r in registers[:count]]
        if not returns:
            if args[0] in self.live:
                self.live.remove(args[0])
            elif not args[0] or module(caller.pc()) == module(frame.pc()):
                return  # glibc frees again, in its own books, what a thread has in its cache.
            self.frees += 1
            self.write(thread, name, args, None, [])
            return
        back, stack = caller.pc(), int(caller.read_register("sp"))
        if back not in self.returns:
            self.returns.add(back)
            silent("*%#x" % back)
        self.open[thread] = (back, stack, name, args, callers(caller))

    def leave(self, thread, frame):
        call = self.open.get(thread)
        if call is None or call[0] != frame.pc() or call[1] != int(frame.read_register("sp")):
            return  # Somebody came here who allocated nothing.
        del self.open[thread]
        _, _, name, args, stack = call
        result = int(frame.read_register(ARGUMENTS[frame.architecture().name()][3])) & (1 << 64) - 1
        if name == "posix_memalign":
            failed = result & 0xFFFFFFFF
            result = 0 if failed else int.from_bytes(gdb.selected_inferior().read_memory(args[0], 8).tobytes(), "little")
        if name in ("realloc", "reallocarray") and args[0] and (result or 0 in args[1:]):
            self.frees += 1
            self.live.discard(args[0])
        if result:
            self.allocs += 1
            self.live.add(result)
        self.write(thread, name, args, result, stack)

    def write(self, thread, name, args, result, stack):
        if self.log is None:
            path = os.environ.get("ALLOCATIONS_LOG") or "allocations.%d.log" % thread[0]
            self.log = open(path, "w", encoding="utf-8", errors="replace")
            self.start = time.monotonic()
            self.log.write("leakformer-gdb 1\ncommand: %s\n" % command())
        shown = ["%#x" % a if POINTERS.get(name) == i else "%d" % a for i, a in enumerate(args)]
        line = "%.6f %d %d %s(%s)" % (time.monotonic() - self.start, thread[0], thread[1] or thread[0], name, ", ".join(shown))
        self.log.write(line + ("\n" if result is None else " = %#x\n" % result))
        self.log.writelines(stack)


def silent(where):
    breakpoint = gdb.Breakpoint(where, internal=True)
    breakpoint.silent = True
    return breakpoint


def command():
    program = gdb.current_progspace().filename or ""
    args = gdb.parameter("args") if gdb.VERSION >= "14" else gdb.execute("show args", to_string=True).split('"', 1)[1].rsplit('"', 1)[0]
    return (program + " " + args).strip()


def module(pc):
    return gdb.solib_name(pc) or (gdb.current_progspace().filename if inside(pc) else "")


PROGRAM = []  # where the program's own code lies


def inside(pc):
    if not PROGRAM:
        with open("/proc/%d/maps" % gdb.selected_inferior().pid) as maps:
            for line in maps:
                fields = line.split(None, 5)
                if "x" in fields[1] and fields[-1].strip() == os.path.realpath(gdb.current_progspace().filename):
                    PROGRAM.append([int(bound, 16) for bound in fields[0].split("-")])
    return any(start <= pc < end for start, end in PROGRAM)


def callers(frame):
    lines = []
    while frame is not None and frame.is_valid() and len(lines) < DEPTH:
        if not frame.name() and not module(frame.pc()):
            break  # No code is known here: the stack cannot be followed.
        where = frame.find_sal()
        place = "%s:%d" % (where.symtab.fullname(), where.line) if where.symtab else ""
        inlined = "\tinlined" if frame.type() == gdb.INLINE_FRAME else ""
        lines.append("\t%#x\t%s\t%s\t%s%s\n" % (frame.pc(), frame.name() or "", place, module(frame.pc()), inlined))
        try:
            frame = frame.older()
        except gdb.error:
            break
    return lines


Tracer().run()
