package train

import "io"

// A Learner is what the training loop trains. Its methods are called one at a time.
type Learner interface {
	// Step makes one step of the optimiser at a learning rate and returns the
	// loss before it, a weighted mean. It does not keep b. After an error the
	// weights are what they were.
	Step(b *Batch, rate float64) (loss float64, err error)
	// Predict returns the logits that each sequence's site leaks, B, and that
	// the block of each position is leaked, B×L; more is more suspicious, and
	// logits in the padding mean nothing. Targets of b are not looked at.
	Predict(b *Batch) (site, block []float32, err error)
	// Save writes weights and all that makes further training repeat exactly.
	Save(w io.Writer) error
	// Load reads what Save wrote from a Learner of the same architecture. After
	// an error the Learner is as it was.
	Load(r io.Reader) error
}
