package attach

import (
	"encoding/binary"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

const (
	// maxFrames bounds a call stack; what tells sites apart is far less.
	maxFrames = 32
	// ringBytes holds the calls of half a second of a busy program.
	ringBytes = 16 << 20
	// maxCalls bounds the calls under way, of which a thread has one.
	maxCalls = 16 << 10
)

// What a probe writes, 8 bytes each: of a free the time and the address, of an
// allocation also the size, the length of its call stack in bytes, and the stack.
const (
	freedBytes     = 16
	allocatedBytes = 32 + 8*maxFrames
)

// record is what the probes tell of one call.
type record struct {
	nanoseconds uint64 // by CLOCK_MONOTONIC
	addr        uint64
	alloc       bool
	size        uint64
	stack       []uint64 // innermost first, good until the next record
}

// decode reads a record; stack is room for its call stack.
func decode(raw []byte, stack *[maxFrames]uint64) (r record, ok bool) {
	order := binary.NativeEndian
	if len(raw) < freedBytes {
		return r, false
	}
	r.nanoseconds, r.addr = order.Uint64(raw), order.Uint64(raw[8:])
	if len(raw) < allocatedBytes {
		return r, true
	}
	r.alloc, r.size = true, order.Uint64(raw[16:])
	n := max(0, min(int64(order.Uint64(raw[24:]))/8, maxFrames)) // below 0 where there is none
	for i := range n {
		stack[i] = order.Uint64(raw[32+8*i:])
	}
	r.stack = stack[:n]
	return r, true
}

// shared is what the programs that run in the kernel have in common.
type shared struct {
	ring  *ebpf.Map // of records
	calls *ebpf.Map // by thread: the size that was asked for, and where posix_memalign puts the address
	lost  *ebpf.Map // counts the records that the ring had no room for
	// limit is the share of the addresses that are recorded, times 1<<32; 0: all.
	limit int64
}

// newShared makes the maps. One of sample addresses is recorded: whether one is
// depends on the address alone, so that with an allocation its free is.
func newShared(sample int) (*shared, error) {
	s := &shared{}
	if sample > 1 {
		s.limit = 1 << 32 / int64(sample)
	}
	for m, spec := range map[**ebpf.Map]*ebpf.MapSpec{
		&s.ring:  {Type: ebpf.RingBuf, MaxEntries: ringBytes},
		&s.calls: {Type: ebpf.LRUHash, KeySize: 8, ValueSize: 16, MaxEntries: maxCalls},
		&s.lost:  {Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
	} {
		var err error
		if *m, err = ebpf.NewMap(spec); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *shared) close() {
	for _, m := range []*ebpf.Map{s.ring, s.calls, s.lost} {
		m.Close()
	}
}

// function is one of the allocator's.
type function struct {
	name string
	// entry is what runs when it is called; returns: it is also told what came of it.
	entry   func(*shared) asm.Instructions
	returns bool
}

// functions are those that programs call: the obsolete valloc and pvalloc would only
// make coming and going slower. Where several are one piece of code, the first is meant.
var functions = []function{
	{"free", func(s *shared) asm.Instructions { return slices.Concat(begin, s.free(), mark("freed", end...)) }, false},
	{"malloc", asks(argument(asm.R7, 0)), true},
	{"calloc", asks(argument(asm.R7, 0), argument(asm.R8, 1), asm.Mul.Reg(asm.R7, asm.R8), asm.Mov.Imm(asm.R8, 0)), true},
	{"realloc", func(s *shared) asm.Instructions {
		return slices.Concat(begin, s.free(), mark("freed", argument(asm.R7, 1), asm.Mov.Imm(asm.R8, 0)), s.keep(), end)
	}, true},
	{"posix_memalign", asks(argument(asm.R7, 2), argument(asm.R8, 0)), true},
	{"memalign", asks(argument(asm.R7, 1)), true},
	{"aligned_alloc", asks(argument(asm.R7, 1)), true},
}

// asks notes what a call asks for: its size, read into R7, and R8.
func asks(read ...asm.Instruction) func(*shared) asm.Instructions {
	return func(s *shared) asm.Instructions {
		return slices.Concat(begin, asm.Instructions{asm.Mov.Imm(asm.R8, 0)}, read, s.keep(), end)
	}
}

// The registers in the kernel's struct pt_regs for x86-64, to which R6 points: those of
// the first three arguments, and that of the result.
var arguments = [...]int16{112, 104, 96}

const resultRegister = 80

func argument(to asm.Register, n int) asm.Instruction {
	return asm.LoadMem(to, asm.R6, arguments[n], asm.DWord)
}

var (
	begin = asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	end   = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
)

// mark puts a label on the first of some instructions.
func mark(label string, code ...asm.Instruction) asm.Instructions {
	code = slices.Clone(code)
	code[0] = code[0].WithSymbol(label)
	return code
}

// Places on the stack of a program.
const (
	thread  = -8
	pointer = -16 // behind size: the two are the value in calls
	size    = -24
)

// keep puts R7 and R8 into calls.
func (s *shared) keep() asm.Instructions {
	return asm.Instructions{
		asm.FnGetCurrentPidTgid.Call(),
		asm.StoreMem(asm.RFP, thread, asm.R0, asm.DWord),
		asm.StoreMem(asm.RFP, size, asm.R7, asm.DWord),
		asm.StoreMem(asm.RFP, pointer, asm.R8, asm.DWord),
		asm.LoadMapPtr(asm.R1, s.calls.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, thread),
		asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, size),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
	}
}

// free records the first argument, and goes on at the label "freed". It comes before
// the block is given back: nobody can have the same address in between.
//
// Note: a realloc that fails has freed nothing, and is recorded as if it had. The
// other way round, another thread's new block would be taken for the one that is freed.
func (s *shared) free() asm.Instructions {
	return slices.Concat(
		asm.Instructions{argument(asm.R7, 0), asm.JEq.Imm(asm.R7, 0, "freed")},
		s.sampled(asm.R7, "freed"),
		s.reserve(freedBytes, "lost free"),
		asm.Instructions{asm.Mov.Reg(asm.R8, asm.R0)},
		stamp(asm.R8, asm.R7),
		submit(asm.R8),
		asm.Instructions{asm.Ja.Label("freed")},
		mark("lost free", s.lose()...),
	)
}

// returned is the program that runs when a call has returned: it records what keep
// kept, with the call stack, which at this moment begins with the caller.
func (s *shared) returned() asm.Instructions {
	return slices.Concat(begin, asm.Instructions{
		asm.FnGetCurrentPidTgid.Call(),
		asm.StoreMem(asm.RFP, thread, asm.R0, asm.DWord),
		asm.LoadMapPtr(asm.R1, s.calls.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, thread),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"), // it was called before we came
		asm.LoadMem(asm.R7, asm.R0, 0, asm.DWord),
		asm.LoadMem(asm.R9, asm.R0, pointer-size, asm.DWord),
		asm.LoadMapPtr(asm.R1, s.calls.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, thread),
		asm.FnMapDeleteElem.Call(),
		asm.LoadMem(asm.R8, asm.R6, resultRegister, asm.DWord),
		asm.JEq.Imm(asm.R9, 0, "address"),
		// posix_memalign returns 0, an int, and puts the address where R9 points.
		asm.JNE.Imm32(asm.R8, 0, "end"),
		asm.Mov.Reg(asm.R1, asm.RFP), asm.Add.Imm(asm.R1, pointer),
		asm.Mov.Imm(asm.R2, 8),
		asm.Mov.Reg(asm.R3, asm.R9),
		asm.FnProbeReadUser.Call(),
		asm.JNE.Imm(asm.R0, 0, "end"),
		asm.LoadMem(asm.R8, asm.RFP, pointer, asm.DWord),
	},
		mark("address", asm.JEq.Imm(asm.R8, 0, "end")),
		s.sampled(asm.R8, "end"),
		s.reserve(allocatedBytes, "lost"),
		asm.Instructions{asm.Mov.Reg(asm.R9, asm.R0)},
		stamp(asm.R9, asm.R8),
		asm.Instructions{
			asm.StoreMem(asm.R9, 16, asm.R7, asm.DWord),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Reg(asm.R2, asm.R9), asm.Add.Imm(asm.R2, 32),
			asm.Mov.Imm(asm.R3, 8*maxFrames),
			asm.Mov.Imm(asm.R4, userStack),
			asm.FnGetStack.Call(),
			asm.StoreMem(asm.R9, 24, asm.R0, asm.DWord),
		},
		submit(asm.R9),
		asm.Instructions{asm.Ja.Label("end")},
		mark("lost", s.lose()...),
		mark("end", end...),
	)
}

// Flags of the kernel's.
const (
	userStack = 1 << 8 // BPF_F_USER_STACK
	noWakeup  = 1 << 0 // BPF_RB_NO_WAKEUP: who reads looks by itself, and the program has not to wake it
)

// sampled goes to a label unless an address is among those that are recorded. It is
// hashed, since blocks of one size often lie at regular distances.
func (s *shared) sampled(addr asm.Register, otherwise string) asm.Instructions {
	if s.limit == 0 {
		return nil
	}
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, addr),
		asm.LoadImm(asm.R2, -0x61c8864680b583eb, asm.DWord), // 2^64 by the golden ratio
		asm.Mul.Reg(asm.R1, asm.R2),
		asm.RSh.Imm(asm.R1, 32),
		asm.LoadImm(asm.R2, s.limit, asm.DWord),
		asm.JGE.Reg(asm.R1, asm.R2, otherwise),
	}
}

// reserve takes room for a record into R0.
func (s *shared) reserve(bytes int32, none string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, s.ring.FD()),
		asm.Mov.Imm(asm.R2, bytes),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, none),
	}
}

// stamp writes the time and the address.
func stamp(record, addr asm.Register) asm.Instructions {
	return asm.Instructions{
		asm.StoreMem(record, 8, addr, asm.DWord),
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(record, 0, asm.R0, asm.DWord),
	}
}

func submit(record asm.Register) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, record),
		asm.Mov.Imm(asm.R2, noWakeup),
		asm.FnRingbufSubmit.Call(),
	}
}

// lose counts a record that there is no room for.
func (s *shared) lose() asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(asm.R1, s.lost.FD(), 0),
		asm.Mov.Imm(asm.R2, 1),
		asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
	}
}
