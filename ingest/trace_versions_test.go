package ingest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leakformer/ingest"
	"leakformer/ingest/ingesttest"
)

// traceVersion is how a version of Valgrind prints the calls that differ: each gets
// addresses and a size.
type traceVersion struct {
	name                                   string
	reallocNull, reallocZero, aligned, new string // with OLD and NEW for addresses, and SIZE
	deleted                                string
}

// Up to 3.20 a realloc is carried out by a nested call, and posix_memalign shows as
// memalign. 3.21 to 3.23 print no address of posix_memalign: there it is memalign.
var traceVersions = []traceVersion{
	{"3.14 to 3.20", "realloc(0x0,SIZE)malloc(SIZE) = 0xNEW", "realloc(0xOLD,0)free(0xOLD)\n = 0", "memalign(al 64, size SIZE) = 0xNEW",
		"_ZnwmSt11align_val_t(size SIZE, al 64) = 0xNEW", "_ZdlPvSt11align_val_t(0xOLD)"},
	{"3.21 to 3.23", "realloc(0x0,SIZE) = 0xNEW", "realloc(0xOLD,0) = 0x0", "memalign(alignment 64, size SIZE) = 0xNEW",
		"_ZnwmSt11align_val_t(size SIZE, al 64) = 0xNEW", "_ZdlPvSt11align_val_t(0xOLD)"},
	{"3.24 to 3.26", "realloc(0x0,SIZE) = 0xNEW", "realloc(0xOLD,0) = 0x0", "posix_memalign(al 64, size SIZE)\n = 0xNEW",
		"_ZnwmSt11align_val_t(size SIZE, al 64) = 0xNEW", "_ZdlPvSt11align_val_t(0xOLD)"},
	{"3.27", "realloc(0x0,SIZE) = 0xNEW", "realloc(0xOLD,0) = 0x0", "posix_memalign(0x1FFEFFF, 64, SIZE) = 0xNEW",
		"_ZnwmSt11align_val_t(SIZE, 64) = 0xNEW", "_ZdlPvmSt11align_val_t(0xOLD, SIZE, 64)"},
}

// The same program under every version of Valgrind: other words, the same events, and
// the heap summary agrees.
func TestTraceMallocVersions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		deeds := drawTrace(rt)
		var first []string
		for _, v := range traceVersions {
			log := v.write(deeds)
			src, err := ingest.NewSource("log", strings.NewReader(log), ingest.Options{Format: "trace-malloc"})
			if err != nil {
				rt.Fatal(err)
			}
			events, err := ingesttest.ReadAll(t, src)
			if r := src.Report(); err != nil || len(r.Messages) != 0 || r.Oracle == nil || !r.Oracle.OK || r.OrphanFrees+r.LostFrees != 0 {
				rt.Fatalf("%s: %v, messages %q, oracle %+v\n%s", v.name, err, r.Messages, r.Oracle, log)
			}
			var all []string
			for _, e := range events {
				all = append(all, fmt.Sprintf("%v block %d at %#x of %d bytes, flags %d", e.Op, e.Block, e.Addr, e.Size, e.Flags))
			}
			if first == nil {
				first = all
			}
			if !slices.Equal(all, first) {
				rt.Fatalf("%s:\n%s\nnot as in %s\n%s\n%s", v.name, strings.Join(all, "\n"), traceVersions[0].name, strings.Join(first, "\n"), log)
			}
		}
	})
}

// traceDeed is a call; template is the index of its words.
type traceDeed struct {
	template  int
	old, addr uint64
	size      int64
}

// The words that do not differ, behind those of traceVersion.
const (
	reallocNull = iota
	reallocZero
	alignedCall
	newCall
	deleteCall
	mallocCall
	freeCall
	reallocCall
)

// drawTrace makes calls that free only what is live, and take only what is free.
func drawTrace(t *rapid.T) []traceDeed {
	live := map[uint64]int64{}
	var addrs []uint64
	next := uint64(0x4A37040)
	var deeds []traceDeed
	for range rapid.IntRange(1, 30).Draw(t, "calls") {
		d := traceDeed{template: rapid.IntRange(0, reallocCall).Draw(t, "call"), size: rapid.Int64Range(1, 5000).Draw(t, "size")}
		if d.template == reallocZero || d.template == deleteCall || d.template == freeCall || d.template == reallocCall {
			if len(addrs) == 0 {
				continue
			}
			i := rapid.IntRange(0, len(addrs)-1).Draw(t, "block")
			d.old = addrs[i]
			addrs = slices.Delete(addrs, i, i+1)
			if d.template == deleteCall {
				d.size = live[d.old]
			}
		}
		if d.template != reallocZero && d.template != deleteCall && d.template != freeCall {
			d.addr = next
			next += 0x10000
			addrs = append(addrs, d.addr)
			live[d.addr] = d.size
		}
		deeds = append(deeds, d)
	}
	return deeds
}

// write prints the calls, and the sums that Valgrind prints at the end.
func (v *traceVersion) write(deeds []traceDeed) string {
	words := []string{v.reallocNull, v.reallocZero, v.aligned, v.new, v.deleted,
		"malloc(SIZE) = 0xNEW", "free(0xOLD)", "realloc(0xOLD,SIZE) = 0xNEW"}
	var b strings.Builder
	live := map[uint64]int64{}
	var allocs, frees, total, bytes int64
	for _, d := range deeds {
		values := strings.NewReplacer("OLD", fmt.Sprintf("%X", d.old), "NEW", fmt.Sprintf("%X", d.addr), "SIZE", fmt.Sprint(d.size))
		b.WriteString("--7-- " + strings.ReplaceAll(values.Replace(words[d.template]), "\n", "\n--7-- ") + "\n")
		if d.old != 0 {
			frees++
			delete(live, d.old)
		}
		if d.addr != 0 {
			allocs++
			total += d.size
			live[d.addr] = d.size
		}
	}
	for _, size := range live {
		bytes += size
	}
	return fmt.Sprintf("%s==7== in use at exit: %d bytes in %d blocks\n==7== total heap usage: %d allocs, %d frees, %d bytes allocated\n",
		b.String(), bytes, len(live), allocs, frees, total)
}
