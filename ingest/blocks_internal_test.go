package ingest

import (
	"math/rand/v2"
	"testing"
)

// The table does what a map does, at all sizes and also where addresses collide.
func TestBlockTable(t *testing.T) {
	for _, addresses := range []uint64{3, 17, 1000, 100000} {
		rnd := rand.New(rand.NewPCG(1, addresses))
		var table blockTable
		want := map[uint64]liveBlock{}
		for i := range int64(300000) {
			addr := rnd.Uint64N(addresses) << 4
			wantWas, wantOK := want[addr]
			var was liveBlock
			var ok bool
			switch b := (liveBlock{block: i, size: i % 7, stack: StackID(i % 5)}); rnd.IntN(4) {
			case 0, 1:
				was, ok = table.put(addr, b)
				want[addr] = b
			case 2:
				was, ok = table.remove(addr)
				delete(want, addr)
			default:
				was, ok = table.get(addr)
			}
			if ok != wantOK || ok && was != wantWas || table.used != len(want) {
				t.Fatalf("step %d: %v, %v at %#x, want %v, %v", i, was, ok, addr, wantWas, wantOK)
			}
		}
	}
}
