package train

import "fmt"

// Batch is B sequences, each padded to L positions of F token ids. A batch is
// of one of two kinds: labelled (Site set) or next-event (Next set); both may ask
// for lifetimes, too.
type Batch struct {
	B, L, F int
	// Tokens are the token ids, B×L×F, row after row; 0 means "nothing".
	Tokens []int32
	// Lengths are the positions in use of each sequence, B, each 1 to L.
	Lengths []int32
	// Causal hides later positions from earlier ones, which next-event batches need.
	Causal bool
	// Site is the target of each sequence, B: 1 for a leaking site, 0 for a
	// normal one. SiteWeight is its weight in the loss. Both are nil in a
	// next-event batch.
	Site, SiteWeight []float32
	// Block is the target of each position, B×L: 1 for a leaked block, 0 for a
	// normal one. BlockWeight is its weight, 0 where the position has no
	// target, as in all the padding. Both nil if there is none.
	Block, BlockWeight []float32
	// Next is the class of the time to free of the block after each position,
	// B×L; -1 is left out. Open says where that block has but reached this class
	// alive: its true class is this or a later one. Nil in a labelled batch.
	Next []int32
	Open []bool
	// Lifetimes is for each sequence the distribution of its site's lifetimes over
	// the classes of Next, B×classes; a row of zeros is left out. Nil if there is none.
	Lifetimes []float32
	// Weights of the objectives in the loss.
	Weights Objectives
}

// Validate says what is wrong with the sizes and lengths of b, at no more cost
// than reading it once.
func (b *Batch) Validate() error {
	const limit = 1 << 28 // ids in a batch: 1 GiB
	if b.B <= 0 || b.L <= 0 || b.F <= 0 || b.B > limit/b.L || b.B*b.L > limit/b.F {
		return fmt.Errorf("train: a batch of %d×%d×%d token ids", b.B, b.L, b.F)
	}
	for _, s := range []struct {
		name      string
		got, want int
		optional  bool
	}{
		{"token ids", len(b.Tokens), b.B * b.L * b.F, false},
		{"lengths", len(b.Lengths), b.B, false},
		{"site targets", len(b.Site), b.B, true},
		{"site weights", len(b.SiteWeight), len(b.Site), false},
		{"block targets", len(b.Block), b.B * b.L, true},
		{"block weights", len(b.BlockWeight), len(b.Block), false},
		{"next-event targets", len(b.Next), b.B * b.L, true},
		{"marks of open lifetimes", len(b.Open), len(b.Next), false},
	} {
		if s.got != s.want && !(s.optional && s.got == 0) {
			return fmt.Errorf("train: a batch has %d %s, want %d", s.got, s.name, s.want)
		}
	}
	for i, n := range b.Lengths {
		if n < 1 || int(n) > b.L {
			return fmt.Errorf("train: sequence %d of a batch has %d positions, want 1 to %d", i, n, b.L)
		}
	}
	return nil
}
