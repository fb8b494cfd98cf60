package tokenize

import (
	"iter"
	"maps"
	"math"

	"leakformer/ingest"
)

// Alive is Block.Died of a block that was never freed.
const Alive = math.MaxUint32

// Block is one block of memory, or several equal ones of a report.
type Block struct {
	// Size in bytes, of all Count blocks.
	Size int64
	// Born and Died are the numbers of the events that allocated and freed it.
	Born, Died uint32
	// Site indexes Run.Sites.
	Site uint32
	// Count of blocks; 1 in an event log.
	Count uint32
	Loss  ingest.Loss
	// Scans is the number of consecutive snapshots, up to the last, that hold it.
	Scans uint8
}

// Blocks is a list of blocks, which go by their index. A long log has millions: of each
// only its life is kept in full, what many have in common is there once, and the rest is
// packed.
type Blocks struct {
	lives chunks[life]
	// traits are what blocks have in common. Which a block has is in of, or in changed,
	// where it has those that no other has.
	traits  chunks[traits]
	of      packed
	changed map[int32]uint32
	// byTraits finds those that blocks share, and latest those of a site's last block.
	byTraits map[traits]uint32
	latest   []uint32
	addrs    packed
	// lines are differences from Born: in most logs they are much the same.
	lines packed
}

type life struct{ born, died uint32 }

// traits are a Block's.
type traits struct {
	size        int64
	site, count uint32
	loss        ingest.Loss
	scans       uint8
}

// maxTraits bounds byTraits: where nearly every block has traits of its own, it would take
// more room than it saves, and begins anew.
const maxTraits = 1 << 18

// BlocksOf returns a list of these blocks, without addresses and lines.
func BlocksOf(blocks ...Block) Blocks {
	var l Blocks
	for _, b := range blocks {
		l.Add(b, 0, 0)
	}
	return l
}

// Len is the number of blocks.
func (l *Blocks) Len() int { return l.lives.len() }

// Add appends a block, its address, 0 where it is not known, and the line of the log that
// shows its birth, from 1. It returns the block's index.
func (l *Blocks) Add(b Block, addr uint64, line uint32) int32 {
	l.lives.add(life{b.Born, b.Died})
	l.of.add(uint64(l.known(b.traits())))
	l.addrs.add(addr)
	l.lines.add(uint64(line) - uint64(b.Born))
	return int32(l.Len() - 1)
}

// known says where traits are that blocks share.
func (l *Blocks) known(t traits) uint32 {
	for int(t.site) >= len(l.latest) {
		l.latest = append(l.latest, 0)
	}
	latest := &l.latest[t.site]
	if int(*latest) < l.traits.len() && *l.traits.at(*latest) == t {
		return *latest
	}
	at, ok := l.byTraits[t]
	if !ok {
		switch len(l.byTraits) {
		case 0:
			l.byTraits = map[traits]uint32{}
		case maxTraits:
			clear(l.byTraits)
		}
		at = uint32(l.traits.len())
		l.byTraits[t] = at
		l.traits.add(t)
	}
	*latest = at
	return at
}

// Set changes block i into b, but for its Born.
func (l *Blocks) Set(i int32, b Block) {
	at, ok := l.changed[i]
	if !ok {
		if l.changed == nil {
			l.changed = map[int32]uint32{}
		}
		at = uint32(l.traits.len())
		l.changed[i] = at
		l.traits.add(traits{})
	}
	*l.traits.at(at) = b.traits()
	l.life(i).died = b.Died
}

// Die notes the event that freed block i, or [Alive].
func (l *Blocks) Die(i int32, event uint32) { l.life(i).died = event }

func (l *Blocks) life(i int32) *life { return l.lives.at(uint32(i)) }

func (l *Blocks) traitsOf(i int32) *traits {
	if l.changed != nil {
		if at, ok := l.changed[i]; ok {
			return l.traits.at(at)
		}
	}
	return l.traits.at(uint32(l.of.at(i)))
}

func (b *Block) traits() traits { return traits{b.Size, b.Site, b.Count, b.Loss, b.Scans} }

// At is block i.
func (l *Blocks) At(i int32) Block {
	at, t := l.life(i), l.traitsOf(i)
	return Block{t.size, at.born, at.died, t.site, t.count, t.loss, t.scans}
}

// All are the indexes and the blocks.
func (l *Blocks) All() iter.Seq2[int32, Block] {
	return func(yield func(int32, Block) bool) {
		for i := range int32(l.Len()) {
			if !yield(i, l.At(i)) {
				return
			}
		}
	}
}

// Born is At(i).Born.
func (l *Blocks) Born(i int32) uint32 { return l.life(i).born }

// Died is At(i).Died.
func (l *Blocks) Died(i int32) uint32 { return l.life(i).died }

// Site is At(i).Site.
func (l *Blocks) Site(i int32) uint32 { return l.traitsOf(i).site }

// Size is At(i).Size.
func (l *Blocks) Size(i int32) int64 { return l.traitsOf(i).size }

// Count is At(i).Count.
func (l *Blocks) Count(i int32) uint32 { return l.traitsOf(i).count }

// Loss is At(i).Loss.
func (l *Blocks) Loss(i int32) ingest.Loss { return l.traitsOf(i).loss }

// Scans is At(i).Scans.
func (l *Blocks) Scans(i int32) uint8 { return l.traitsOf(i).scans }

// Addr is the address of block i, 0 where it is not known.
func (l *Blocks) Addr(i int32) uint64 { return l.addrs.at(i) }

// Line is the line of the log that shows the birth of block i, from 1.
func (l *Blocks) Line(i int32) uint32 { return uint32(l.lines.at(i) + uint64(l.Born(i))) }

// Altered is a copy of the list in which blocks have other sites and sizes: those that
// f makes of what they had.
func (l *Blocks) Altered(f func(site uint32, size int64) (uint32, int64)) Blocks {
	out := Blocks{lives: l.lives.clone(), traits: l.traits.clone(), changed: maps.Clone(l.changed),
		of: l.of.clone(), addrs: l.addrs.clone(), lines: l.lines.clone()}
	for i := range uint32(out.traits.len()) {
		t := out.traits.at(i)
		t.site, t.size = f(t.site, t.size)
	}
	return out
}
