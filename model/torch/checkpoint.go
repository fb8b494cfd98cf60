package torch

import (
	"errors"
	"fmt"
	"io"
)

// Save writes the weights, the optimiser's moments and all else that makes
// further training repeat exactly, in the safetensors layout.
func (n *Net) Save(w io.Writer) error { return n.save(w, true) }

// SaveWeights writes the weights alone, which is enough for Predict.
func (n *Net) SaveWeights(w io.Writer) error { return n.save(w, false) }

func (n *Net) save(w io.Writer, resumable bool) error {
	f, err := n.snapshot(resumable)
	if err != nil {
		return err
	}
	return f.write(w, n.layout)
}

// snapshot copies what a file holds, so that writing it holds up nobody.
func (n *Net) snapshot(resumable bool) (*file, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.flat == nil {
		return nil, errClosed
	}
	f := &file{config: n.config, seed: n.seed, steps: n.optimizer.steps}
	err := n.pool.one(func(s *scope) {
		f.weights = read[float32](s, n.flat, int(n.layout.size))
		if !resumable {
			return
		}
		f.optimiser = n.optimizer.kind
		for _, m := range n.optimizer.moments {
			f.moments = append(f.moments, read[float32](s, m, int(n.layout.size)))
		}
	})
	return f, err
}

// Load reads what Save wrote from a Net of the same architecture and optimiser,
// and takes on its seed: training goes on as if it had never stopped. After an
// error the Net is as it was. An error for another architecture is ErrMismatch.
func (n *Net) Load(r io.Reader) error { return n.load(r, true) }

// LoadWeights reads the weights out of what Save or SaveWeights wrote from a Net
// of the same architecture. Training starts afresh from them. After an error
// the Net is as it was.
func (n *Net) LoadWeights(r io.Reader) error { return n.load(r, false) }

func (n *Net) load(r io.Reader, resume bool) error {
	f, err := readFile(r, n.config)
	if err != nil {
		return err
	}
	kind := n.options.Optimiser
	switch {
	case !resume:
		f.seed, f.steps = n.options.Seed, 0
	case f.optimiser == "":
		return errors.New("torch: the file has weights alone, nothing to resume training from")
	case f.optimiser != kind:
		return fmt.Errorf("torch: the file is of training with %s, not %s", f.optimiser, kind)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.flat == nil {
		return errClosed
	}
	return n.pool.one(func(s *scope) {
		weights := from(s, f.weights, n.layout.size)
		moments := make([]tensor, len(n.optimizer.moments))
		for i := range moments {
			if resume {
				moments[i] = from(s, f.moments[i], n.layout.size)
			} else {
				moments[i] = s.zeros(n.layout.size)
			}
		}
		// Nothing but memory could be missing, and from here on none is needed.
		s.copyTo(n.flat, weights)
		for i, m := range moments {
			s.copyTo(n.optimizer.moments[i], m)
		}
		if s.err == nil {
			n.seed, n.optimizer.steps = f.seed, f.steps
		}
	})
}
