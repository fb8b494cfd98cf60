package torch

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/sugarme/gotch/libtch"

	"leakformer/model"
	"leakformer/train"
)

// Options say how a Net computes and learns; the zero value works.
type Options struct {
	// Seed of the first weights and of dropout. Two Nets of the same Config,
	// Options (but for Threads) and batches have the same weights.
	Seed uint64
	// Threads that compute, 1 to 1024; 0 means one for each physical core. A
	// CUDA device is fed by one.
	Threads int
	// Device is "cpu", "cuda" or "cuda:N"; "" means "cpu".
	Device string
	// Optimiser is AdamW or SGD; "" means AdamW.
	Optimiser Optimiser
	// WeightDecay is the share of each matrix, times the learning rate, that a
	// step takes away, at least 0.
	WeightDecay float64
	// Clip is the longest gradient, as the square root of its sum of squares;
	// longer ones are shortened to it. 0 means no limit.
	Clip float64
	// BlockLoss is the weight of the mean loss of the blocks beside that of the
	// sites. 0 means 1.
	BlockLoss float64
}

// Net is a Transformer encoder with three heads: the logit that a site leaks,
// read at position 0; at every position the logit that its block is leaked; and
// the distribution of lifetimes: at a block's position that of the next block, at
// position 0 that of the site. A Net is safe for concurrent use; Close it to free
// its memory, which the garbage collector does not see.
type Net struct {
	config  model.Config
	layout  layout
	options Options
	device  int
	part    int // positions of a part of a batch, about
	pool    *pool

	mu        sync.RWMutex
	flat      tensor // the weights; nil once closed
	optimizer optimizer
	seed      uint64
}

var _ train.Learner = (*Net)(nil)

// New makes a Net with random weights.
func New(c model.Config, o Options) (*Net, error) {
	n, err := prepare(c, o)
	if err != nil {
		return nil, err
	}
	if err := n.start(n.layout.initial(n.seed)); err != nil {
		return nil, err
	}
	return n, nil
}

// prepare makes a Net as far as it goes without libtorch.
func prepare(c model.Config, o Options) (*Net, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Net{config: c.WithDefaults(), options: o, part: partPositions, seed: o.Seed}
	if n.options.BlockLoss == 0 {
		n.options.BlockLoss = 1
	}
	if n.options.Optimiser == "" {
		n.options.Optimiser = AdamW
	}
	if err := n.options.validate(); err != nil {
		return nil, err
	}
	n.layout = newLayout(n.config)
	n.optimizer = optimizer{kind: n.options.Optimiser, decay: o.WeightDecay, clip: o.Clip}
	return n, nil
}

// start loads libtorch and makes the weights there, and the optimiser's moments.
func (n *Net) start(weights []float32) error {
	if err := load(); err != nil {
		return err
	}
	var err error
	if n.device, err = deviceNumber(n.options.Device); err != nil {
		return err
	}
	threads := n.options.Threads
	switch {
	case n.device != cpu:
		threads = 1
	case threads == 0:
		threads = Cores()
	}
	moments, err := n.optimizer.kind.moments()
	if err != nil {
		return err
	}
	n.pool = newPool(threads, n.device)
	err = n.pool.one(func(s *scope) {
		n.flat = s.keep(s.trainable(from(s, weights, n.layout.size)))
		for range moments {
			n.optimizer.moments = append(n.optimizer.moments, s.keep(s.zeros(n.layout.size)))
		}
	})
	if err != nil {
		n.Close()
	}
	return err
}

func (o Options) validate() error {
	var errs []error
	if o.Threads < 0 || o.Threads > 1024 {
		errs = append(errs, fmt.Errorf("torch: %d threads; want 1 to 1024, or 0 for one a core", o.Threads))
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"weight decay", o.WeightDecay}, {"clip", o.Clip}, {"block loss", o.BlockLoss}} {
		if !(f.value >= 0) || math.IsInf(f.value, 0) {
			errs = append(errs, fmt.Errorf("torch: %s is %g; want a number of at least 0", f.name, f.value))
		}
	}
	_, err := o.Optimiser.moments()
	return errors.Join(append(errs, err)...)
}

// deviceNumber is libtorch's number for the device called name.
func deviceNumber(name string) (int, error) {
	kind, index, numbered := strings.Cut(name, ":")
	switch {
	case name == "" || name == "cpu":
		return cpu, nil
	case kind != "cuda":
		return 0, fmt.Errorf("torch: no device %q; there are cpu, cuda and cuda:N", name)
	case !libtch.AtcCudaIsAvailable():
		return 0, fmt.Errorf("torch: device %q: this libtorch finds no CUDA device", name)
	case !numbered:
		return 0, nil
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= int(libtch.AtcCudaDeviceCount()) {
		return 0, fmt.Errorf("torch: no device %q; there are %d CUDA devices", name, libtch.AtcCudaDeviceCount())
	}
	return i, nil
}

// trainable makes t, which nothing was computed from, a leaf to differentiate by.
func (s *scope) trainable(t tensor) tensor {
	return s.do("set_requires_grad", func(out *tensor) { libtch.AtgSetRequiresGrad(out, t, 1) })
}

// Config returns the architecture, with its defaults.
func (n *Net) Config() model.Config { return n.config }

// Steps returns how many steps the Net has made.
func (n *Net) Steps() int64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.optimizer.steps
}

// Parameters returns how many weights the Net has.
func (n *Net) Parameters() int64 { return n.layout.size }

// Close frees the Net's memory and ends its threads. Later calls do nothing.
func (n *Net) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pool == nil {
		return
	}
	n.pool.close()
	n.pool = nil
	release(n.flat)
	for _, m := range n.optimizer.moments {
		release(m)
	}
	n.flat, n.optimizer.moments = nil, nil
}

var errClosed = errors.New("torch: the network is closed")

// Step makes one step of the optimiser at the learning rate and returns the
// loss before it, in nats: for a labelled batch the mean over sites plus BlockLoss
// times the mean over blocks, each weighted; for a next-event batch the mean
// negative log-likelihood of the next block's lifetime; to either is added the mean
// divergence of the lifetimes of sites. Each counts as much as b.Weights says. After
// an error the weights are what they were.
func (n *Net) Step(b *train.Batch, rate float64) (loss float64, err error) {
	if !(rate >= 0) || math.IsInf(rate, 0) {
		return 0, fmt.Errorf("torch: learning rate %g", rate)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	loss, gradient, err := n.gradient(b)
	if err != nil {
		return 0, err
	}
	defer release(gradient)
	err = n.pool.one(func(s *scope) {
		n.optimizer.step(s, n.flat, gradient, n.layout.decayed, rate)
	})
	return loss, err
}

// gradient returns the loss of b and its gradient by the flat weights, to be
// released.
func (n *Net) gradient(b *train.Batch) (loss float64, gradient tensor, err error) {
	if n.flat == nil {
		return 0, nil, errClosed
	}
	if err := checkInput(n.config, b); err != nil {
		return 0, nil, err
	}
	total, err := newNorm(n.config, b)
	if err != nil {
		return 0, nil, err
	}
	parts := n.cut(b)
	losses, gradients := make([]float64, len(parts)), make([]tensor, len(parts))
	defer func() {
		for _, g := range gradients {
			release(g)
		}
	}()
	err = n.pool.run(len(parts), true, func(s *scope, i int) {
		drop := newDropout(n.config.Dropout, n.seed, uint64(n.optimizer.steps), i)
		sum := n.loss(s, parts[i], total, b.Weights, drop)
		losses[i] = s.number(sum)
		gradients[i] = s.keep(s.gradient(sum, n.flat))
	})
	if err != nil {
		return 0, nil, err
	}
	for _, l := range losses {
		loss += l
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, nil, fmt.Errorf("torch: the loss is %g; a lower learning rate may help", loss)
	}
	err = n.pool.one(func(s *scope) {
		for _, g := range gradients[1:] {
			s.addTo(gradients[0], g)
		}
		gradient = s.keep(gradients[0])
	})
	return loss, gradient, err
}

// cut cuts b into the parts that are computed at a time.
func (n *Net) cut(b *train.Batch) []*part {
	if n.device != cpu {
		return cut(b, b.B*b.L) // a GPU wants it whole
	}
	return cut(b, n.part)
}

// loss is the share of the part in the loss of its batch, whose objectives weigh o.
func (n *Net) loss(s *scope, p *part, total norm, o train.Objectives, drop *dropout) tensor {
	w := n.layout.views(s, n.flat)
	x := encode(s, n.config, w, p, drop)
	var sum tensor
	plus := func(loss tensor, weight float64) {
		loss = s.times(loss, weight)
		if sum != nil {
			loss = s.add(sum, loss)
		}
		sum = loss
	}
	if total.next > 0 {
		logits := s.linear(x, w["next.weight"], w["next.bias"])
		plus(s.survivalLoss(logits, p, n.config.NextClasses), o.Survival/total.next)
	}
	if total.lifetimes > 0 {
		size := int64(p.b)
		logits := s.linear(n.first(s, p, x), w["next.weight"], w["next.bias"])
		plus(s.divergence(logits, from(s, p.lifetimes, size, int64(n.config.NextClasses))), o.Lifetimes/total.lifetimes)
	}
	if total.next > 0 {
		return sum
	}
	site, block := n.heads(s, w, p, x)
	if weights := divide(p.siteWeight, total.site); weights != nil {
		plus(s.binaryLoss(site, from(s, p.site, int64(p.b)), from(s, weights, int64(p.b))), o.Leaks)
	}
	if weights := divide(p.blockWeight, total.block/n.options.BlockLoss); weights != nil {
		size := int64(p.b * p.l)
		plus(s.binaryLoss(block, from(s, p.block, size), from(s, weights, size)), o.Leaks)
	}
	return sum
}

// first is the encoder's result at position 0 of each sequence, [B, Dim].
func (n *Net) first(s *scope, p *part, x tensor) tensor {
	return s.selectAt(s.view(x, int64(p.b), int64(p.l), int64(n.config.Dim)), 1, 0)
}

// heads are the logits of the sites, [B], and of the blocks, [B·L], read from the
// encoder's result.
func (n *Net) heads(s *scope, w weights, p *part, x tensor) (site, block tensor) {
	b, l := int64(p.b), int64(p.l)
	site = s.view(s.linear(n.first(s, p, x), w["site.weight"], w["site.bias"]), b)
	return site, s.view(s.linear(x, w["block.weight"], w["block.bias"]), b*l)
}

// Predict returns the logits that each sequence's site leaks, B, and that the
// block of each position is leaked, B×L, 0 in the padding. Targets of b are not
// looked at.
func (n *Net) Predict(b *train.Batch) (site, block []float32, err error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.flat == nil {
		return nil, nil, errClosed
	}
	if err := checkInput(n.config, b); err != nil {
		return nil, nil, err
	}
	site, block = make([]float32, b.B), make([]float32, b.B*b.L)
	parts := n.cut(b)
	err = n.pool.run(len(parts), false, func(s *scope, i int) {
		p := parts[i]
		w := n.layout.views(s, n.flat)
		sites, blocks := n.heads(s, w, p, encode(s, n.config, w, p, nil))
		p.put(site, 1, read[float32](s, sites, p.b), 1)
		p.put(block, b.L, read[float32](s, blocks, p.b*p.l), p.l)
	})
	if err != nil {
		return nil, nil, err
	}
	for i, length := range b.Lengths {
		clear(block[i*b.L:][length:b.L])
	}
	return site, block, nil
}
