package torch

import (
	"runtime"
	"sync"

	"github.com/sugarme/gotch/libtch"
)

// A pool is threads of the operating system that compute. Calls to libtorch
// stay on one thread from the call to the look at its error, which libtorch
// keeps per thread, as it does its number of threads and whether it records
// gradients.
type pool struct {
	device int
	tasks  chan func()
	done   sync.WaitGroup
}

// newPool starts threads; libtorch must be loaded.
func newPool(workers, device int) *pool {
	oneBLASThread()
	p := &pool{device: device, tasks: make(chan func())}
	for range workers {
		p.done.Go(p.work)
	}
	return p
}

// work runs tasks on a thread of its own.
func (p *pool) work() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	libtch.AtSetNumThreads(1)
	for task := range p.tasks {
		task()
	}
}

// close ends the threads after their last task.
func (p *pool) close() {
	close(p.tasks)
	p.done.Wait()
}

// run does the n parts of a task, several at a time, each in a scope of its own
// that ends with the part. It returns the error of the first part that has one;
// the parts after an error may be skipped.
func (p *pool) run(n int, gradients bool, part func(s *scope, i int)) error {
	errs := make([]error, n)
	var (
		wait   sync.WaitGroup
		failed sync.Once
		stop   = make(chan struct{})
	)
	for i := range n {
		wait.Add(1)
		p.tasks <- func() {
			defer wait.Done()
			select {
			case <-stop:
				return
			default:
			}
			s := &scope{device: p.device}
			defer s.free()
			s.recordGradients(gradients)
			part(s, i)
			if errs[i] = s.err; s.err != nil {
				failed.Do(func() { close(stop) })
			}
		}
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// one runs a task of one part, without recording gradients.
func (p *pool) one(task func(s *scope)) error {
	return p.run(1, false, func(s *scope, _ int) { task(s) })
}

// recordGradients says whether operations on this thread record how to
// differentiate them.
func (s *scope) recordGradients(on bool) {
	v := 0
	if on {
		v = 1
	}
	s.do0("grad_set_enabled", func() { libtch.AtGradSetEnabled(v) })
}
