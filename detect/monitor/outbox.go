package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Sink receives alerts, one at a time.
type Sink interface {
	// Name tells the sink from others, now and when the program is started again.
	Name() string
	// Send delivers an alert. It is called again with the same alert after an
	// error, but for one that is an [ErrRefused].
	Send(ctx context.Context, a *Alert) error
}

// A Renewer is a sink that forgets an alert unless it is sent again while it lasts.
type Renewer interface {
	Sink
	// Renewal is how often.
	Renewal() time.Duration
}

// ErrRefused says that a sink will never take an alert: it is not sent again.
var ErrRefused = errors.New("refused for good")

// Outbox delivers the alerts of one sink in their order. What could not be delivered
// waits in the state, and is tried again after a second, and then after twice the
// time before, up to a minute.
//
// An alert is delivered once where each attempt gets an answer. Where the answer is
// lost on its way, or this process is killed before it has noted it down, the alert
// comes again, with the same ID.
type Outbox struct {
	sink Sink
	m    *Monitor
	wake chan struct{}
	// First and Longest are the waits between two attempts.
	First, Longest time.Duration
}

// maxPending bounds what waits for a sink; the oldest goes first.
const maxPending = 10000

func newOutbox(m *Monitor, s Sink) *Outbox {
	return &Outbox{sink: s, m: m, wake: make(chan struct{}, 1), First: time.Second, Longest: time.Minute}
}

// Outboxes are those of the sinks, in their order.
func (m *Monitor) Outboxes() []*Outbox { return m.outlets }

// add queues an alert; the monitor is locked.
func (o *Outbox) add(a Alert) {
	queue := append(o.m.state.Pending[o.sink.Name()], a)
	if n := len(queue) - maxPending; n > 0 {
		o.m.cfg.Log.Error("alerts are given up: the sink takes none", "sink", o.sink.Name(), "alerts", n)
		queue = queue[n:]
	}
	o.m.state.Pending[o.sink.Name()] = queue
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Run delivers until the context is done. What is left then waits in the state.
func (o *Outbox) Run(ctx context.Context) {
	wait := o.First
	var renewal <-chan time.Time // never, for most sinks
	if r, ok := o.sink.(Renewer); ok {
		ticker := time.NewTicker(r.Renewal())
		defer ticker.Stop()
		renewal = ticker.C
	}
	for ctx.Err() == nil {
		a := o.front()
		if a == nil {
			select {
			case <-o.wake:
			case <-renewal:
				o.renew(ctx)
			case <-ctx.Done():
			}
			continue
		}
		err := o.send(ctx, a)
		if err == nil || errors.Is(err, ErrRefused) {
			if err != nil {
				o.m.cfg.Log.Error("an alert is given up", "sink", o.sink.Name(), "alert", a.ID, "error", err)
			}
			o.done(a.ID)
			wait = o.First
			continue
		}
		if ctx.Err() != nil {
			return
		}
		o.m.cfg.Log.Warn("an alert could not be delivered", "sink", o.sink.Name(), "alert", a.ID, "again in", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, o.Longest)
	}
}

// grace is how long an attempt may go on when the context is done: what is cut off may
// have been done all the same, and is done twice when it is tried again.
const grace = 5 * time.Second

func (o *Outbox) send(ctx context.Context, a *Alert) error {
	attempt, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	return o.sink.Send(attempt, a)
}

// renew sends again what lasts. What fails is sent at the next renewal.
func (o *Outbox) renew(ctx context.Context) {
	for _, a := range o.m.lasting() {
		if o.Len() > 0 {
			return // It may be that just this one is over.
		}
		if err := o.send(ctx, &a); err != nil && ctx.Err() == nil {
			o.m.cfg.Log.Warn("an alert could not be renewed", "sink", o.sink.Name(), "alert", a.ID, "error", err)
		}
	}
}

// lasting are the alerts that were told and not resolved, as they were told last, of
// what is watched now: the state may remember others.
func (m *Monitor) lasting() []Alert {
	m.mu.Lock()
	defer m.mu.Unlock()
	var alerts []Alert
	for _, key := range slices.Sorted(maps.Keys(m.state.Sites)) {
		if r := m.state.Sites[key]; r.Level > Silent && m.watched[r.Last.Source] {
			a := *r.Last
			a.Previous = a.Level // The level before it has been ended.
			alerts = append(alerts, a)
		}
	}
	return alerts
}

// Flush delivers what waits until nothing does, an attempt fails, or the context is
// done.
func (o *Outbox) Flush(ctx context.Context) error {
	for a := o.front(); a != nil; a = o.front() {
		if err := o.sink.Send(ctx, a); err != nil && !errors.Is(err, ErrRefused) {
			return fmt.Errorf("%s: %d alerts are left undelivered: %w", o.sink.Name(), o.Len(), err)
		}
		o.done(a.ID)
	}
	return nil
}

// Len is how many alerts wait.
func (o *Outbox) Len() int {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	return len(o.m.state.Pending[o.sink.Name()])
}

func (o *Outbox) front() *Alert {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	queue := o.m.state.Pending[o.sink.Name()]
	if len(queue) == 0 {
		return nil
	}
	a := queue[0]
	return &a
}

// done takes an alert off the queue.
func (o *Outbox) done(id string) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	name := o.sink.Name()
	if queue := o.m.state.Pending[name]; len(queue) > 0 && queue[0].ID == id {
		o.m.state.Pending[name] = queue[1:]
	}
	if len(o.m.state.Pending[name]) == 0 {
		delete(o.m.state.Pending, name)
	}
	o.m.save()
}
