package torch

// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// A tensor is a handle to a libtorch tensor. It is valid until the scope that
// made it ends, or until release if it was kept.
type tensor = libtch.Ctensor

// Element types, in libtorch's numbering.
const (
	kindInt32   = 3
	kindInt64   = 4
	kindFloat32 = 6
)

// cpu is libtorch's number for the processor; 0 and up are CUDA devices.
const cpu = -1

// A scope owns the tensors made by its methods. After the first error, which err
// keeps, its methods do nothing and return nil, so that a computation is checked
// once at its end. A scope belongs to one worker: libtorch keeps its last error
// per thread.
type scope struct {
	device int
	owned  []tensor
	err    error
}

// free ends the scope.
func (s *scope) free() {
	for _, t := range s.owned {
		libtch.AtFree(t)
	}
	s.owned = nil
}

// nest runs f in a scope of its own inside s and hands its result over to s, so
// that what f needed on the way is freed at once.
func (s *scope) nest(f func(*scope) tensor) tensor {
	if s.err != nil {
		return nil
	}
	inner := &scope{device: s.device}
	defer inner.free()
	result := f(inner)
	if s.err = inner.err; s.err != nil {
		return nil
	}
	return s.do("shallow_clone", func(out *tensor) { *out = libtch.AtShallowClone(result) })
}

// keep returns a handle to the same tensor that outlives the scope, to be freed
// with release.
func (s *scope) keep(t tensor) tensor {
	if s.err != nil {
		return nil
	}
	kept := libtch.AtShallowClone(t)
	s.check("shallow_clone")
	return kept
}

// release frees a kept tensor; nil is none.
func release(t tensor) {
	if t != nil {
		libtch.AtFree(t)
	}
}

// fail makes err the scope's error unless it has one.
func (s *scope) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// check takes libtorch's last error on this thread.
func (s *scope) check(operation string) {
	message := libtch.GetAndResetLastErr()
	if message == nil {
		return
	}
	defer C.free(unsafe.Pointer(message))
	s.fail(fmt.Errorf("torch: %s: %w", operation, errors.New(C.GoString((*C.char)(unsafe.Pointer(message))))))
}

// do runs one operation with one result. In-place operations have one too: a
// second handle to their tensor.
func (s *scope) do(operation string, call func(out *tensor)) tensor {
	var out [1]tensor
	s.doMany(operation, out[:], func(out []tensor) { call(&out[0]) })
	return out[0]
}

// doMany runs one operation with len(out) results.
func (s *scope) doMany(operation string, out []tensor, call func(out []tensor)) {
	if s.err != nil {
		return
	}
	call(out)
	for _, t := range out {
		if t != nil {
			s.owned = append(s.owned, t)
		}
	}
	s.check(operation)
}

// doArray runs one operation that returns an array of n tensors.
func (s *scope) doArray(operation string, n int, call func() *tensor) []tensor {
	out := make([]tensor, n) // full of nil after an error, so that indexing is safe
	s.doMany(operation, out, func(out []tensor) {
		if array := call(); array != nil {
			copy(out, unsafe.Slice(array, n))
			C.free(unsafe.Pointer(array))
		}
	})
	return out
}

// do0 runs an operation whose effect matters, not its result.
func (s *scope) do0(operation string, call func()) {
	if s.err == nil {
		call()
		s.check(operation)
	}
}

// Making tensors and reading them.

// element is a Go type that libtorch has too.
type element interface{ int32 | int64 | float32 }

func kindOf[E element]() (kind int) {
	switch any(E(0)).(type) {
	case int32:
		return kindInt32
	case int64:
		return kindInt64
	}
	return kindFloat32
}

// from copies data, row after row and not empty, to a tensor of dims.
func from[E element](s *scope, data []E, dims ...int64) tensor {
	t := s.do("tensor_of_data", func(out *tensor) {
		*out = libtch.AtTensorOfData(unsafe.Pointer(unsafe.SliceData(data)), dims, uint(len(dims)),
			uint(unsafe.Sizeof(data[0])), kindOf[E]())
	})
	if s.device == cpu {
		return t
	}
	return s.do("to", func(out *tensor) { libtch.AtgTo(out, t, int32(s.device)) })
}

// filled is a tensor of dims whose elements fill writes, row after row. They lie where
// libtorch has them, but for those of a CUDA device, so that nothing is copied and the
// garbage collector has nothing to do.
func filled(s *scope, fill func([]float32), dims ...int64) tensor {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	if s.device != cpu {
		values := make([]float32, n)
		fill(values)
		return from(s, values, dims...)
	}
	t := s.do("empty", func(out *tensor) { libtch.AtgEmpty(out, dims, len(dims), kindFloat32, cpu) })
	s.do0("data_ptr", func() { fill(unsafe.Slice((*float32)(libtch.AtDataPtr(t)), n)) })
	return t
}

// read copies the first n elements of t, row after row.
func read[E element](s *scope, t tensor, n int) []E {
	data := make([]E, n)
	s.do0("copy_data", func() {
		libtch.AtCopyData(t, unsafe.Pointer(unsafe.SliceData(data)), uint(n), uint(unsafe.Sizeof(data[0])))
	})
	return data
}

// number is the value of a tensor of one element.
func (s *scope) number(t tensor) (v float64) {
	s.do0("item", func() { v = libtch.AtDoubleValueAtIndexes(t, nil, 0) })
	return v
}

func (s *scope) zeros(dims ...int64) tensor {
	return s.do("zeros", func(out *tensor) {
		libtch.AtgZeros(out, dims, len(dims), kindFloat32, int32(s.device))
	})
}

// Shapes. These copy no elements, but for reshape where it has to.

func (s *scope) view(t tensor, dims ...int64) tensor {
	return s.do("view", func(out *tensor) { libtch.AtgView(out, t, dims, len(dims)) })
}

func (s *scope) reshape(t tensor, dims ...int64) tensor {
	return s.do("reshape", func(out *tensor) { libtch.AtgReshape(out, t, dims, len(dims)) })
}

func (s *scope) permute(t tensor, dims ...int64) tensor {
	return s.do("permute", func(out *tensor) { libtch.AtgPermute(out, t, dims, len(dims)) })
}

func (s *scope) transpose(t tensor, a, b int64) tensor {
	return s.do("transpose", func(out *tensor) { libtch.AtgTranspose(out, t, a, b) })
}

func (s *scope) selectAt(t tensor, dim, index int64) tensor {
	return s.do("select", func(out *tensor) { libtch.AtgSelect(out, t, dim, index) })
}

func (s *scope) narrow(t tensor, dim, start, length int64) tensor {
	return s.do("narrow", func(out *tensor) { libtch.AtgNarrow(out, t, dim, start, length) })
}

// unbind splits t, which has n entries along dim, into them.
func (s *scope) unbind(t tensor, dim int64, n int) []tensor {
	return s.doArray("unbind", n, func() *tensor { return libtch.AtgUnbind(t, dim) })
}

// split cuts t along its first dimension into pieces of the sizes.
func (s *scope) split(t tensor, sizes []int64) []tensor {
	return s.doArray("split_with_sizes", len(sizes), func() *tensor {
		return libtch.AtgSplitWithSizes(t, sizes, len(sizes), 0)
	})
}

// Arithmetic.

func (s *scope) add(a, b tensor) tensor {
	return s.do("add", func(out *tensor) { libtch.AtgAdd(out, a, b) })
}

func (s *scope) sub(a, b tensor) tensor {
	return s.do("sub", func(out *tensor) { libtch.AtgSub(out, a, b) })
}

// sum adds up all elements.
func (s *scope) sum(t tensor) tensor {
	return s.do("sum", func(out *tensor) { libtch.AtgSum(out, t, kindFloat32) })
}

func (s *scope) mul(a, b tensor) tensor {
	return s.do("mul", func(out *tensor) { libtch.AtgMul(out, a, b) })
}

func (s *scope) div(a, b tensor) tensor {
	return s.do("div", func(out *tensor) { libtch.AtgDiv(out, a, b) })
}

func (s *scope) sqrt(t tensor) tensor {
	return s.do("sqrt", func(out *tensor) { libtch.AtgSqrt(out, t) })
}

func (s *scope) times(t tensor, factor float64) tensor {
	return s.do("mul", func(out *tensor) {
		f := libtch.AtsFloat(factor)
		defer libtch.AtsFree(f)
		libtch.AtgMulScalar(out, t, f)
	})
}

func (s *scope) bmm(a, b tensor) tensor {
	return s.do("bmm", func(out *tensor) { libtch.AtgBmm(out, a, b) })
}

// baddbmm is bias + alpha·a·b for each matrix of a batch.
func (s *scope) baddbmm(bias, a, b tensor, alpha float64) tensor {
	return s.do("baddbmm", func(out *tensor) {
		one, factor := libtch.AtsFloat(1), libtch.AtsFloat(alpha)
		defer libtch.AtsFree(one)
		defer libtch.AtsFree(factor)
		libtch.AtgBaddbmm(out, bias, a, b, one, factor)
	})
}

func (s *scope) linear(x, weight, bias tensor) tensor {
	return s.do("linear", func(out *tensor) { libtch.AtgLinear(out, x, weight, bias) })
}

func (s *scope) softmax(t tensor) tensor {
	return s.do("softmax", func(out *tensor) { libtch.AtgSoftmax(out, t, -1, -1) })
}

func (s *scope) logSoftmax(t tensor) tensor {
	return s.do("log_softmax", func(out *tensor) { libtch.AtgLogSoftmax(out, t, -1, kindFloat32) })
}

// logSumExp is the logarithm of the sum of the exponentials of each row.
func (s *scope) logSumExp(t tensor) tensor {
	return s.do("logsumexp", func(out *tensor) { libtch.AtgLogsumexp(out, t, []int64{-1}, 1, 0) })
}

func (s *scope) gelu(t tensor) tensor {
	return s.do("gelu", func(out *tensor) { libtch.AtgGeluExact(out, t) })
}

func (s *scope) layerNorm(x, weight, bias tensor, dim int64) tensor {
	return s.do("layer_norm", func(out *tensor) {
		libtch.AtgLayerNorm(out, x, []int64{dim}, 1, weight, bias, normEpsilon, 0)
	})
}

// embeddingSums is, for each bag of ids between two offsets, the sum of the
// table's rows of these ids; id 0 is left out.
func (s *scope) embeddingSums(table, ids, offsets tensor) tensor {
	const sum = 0
	out := make([]tensor, 4) // the other three are for its gradient
	s.doMany("embedding_bag", out, func(out []tensor) {
		libtch.AtgEmbeddingBagPaddingIdx(&out[0], table, ids, offsets, 0, sum, 0, nil, 0, 0, 0)
	})
	return out[0]
}

// reductionSum makes libtorch's losses sums.
const reductionSum = 2

// binaryLoss is the weighted sum of the cross-entropies between logits and
// targets.
func (s *scope) binaryLoss(logits, targets, weights tensor) tensor {
	return s.do("binary_cross_entropy_with_logits", func(out *tensor) {
		libtch.AtgBinaryCrossEntropyWithLogits(out, logits, targets, weights, nil, reductionSum)
	})
}

// gradient is the gradient of the scalar loss by leaf. It leaves nothing behind
// in leaf, so that several threads may do it at a time.
func (s *scope) gradient(loss, leaf tensor) tensor {
	return s.do("run_backward", func(out *tensor) {
		libtch.AtRunBackward(&loss, 1, &leaf, 1, out, 0, 0)
	})
}

// In place.

func (s *scope) addTo(t, other tensor) {
	s.do("add_", func(out *tensor) { libtch.AtgAdd_(out, t, other) })
}

func (s *scope) scale(t tensor, factor float64) {
	s.do("mul_", func(out *tensor) {
		f := libtch.AtsFloat(factor)
		defer libtch.AtsFree(f)
		libtch.AtgMulScalar_(out, t, f)
	})
}

func (s *scope) addNumber(t tensor, number float64) {
	s.do("add_", func(out *tensor) {
		n := libtch.AtsFloat(number)
		defer libtch.AtsFree(n)
		libtch.AtgAddScalar_(out, t, n)
	})
}

// lerp moves t towards end by the share weight of the way.
func (s *scope) lerp(t, end tensor, weight float64) {
	s.do("lerp_", func(out *tensor) {
		w := libtch.AtsFloat(weight)
		defer libtch.AtsFree(w)
		libtch.AtgLerp_(out, t, end, w)
	})
}

func (s *scope) copyTo(dst, src tensor) {
	s.do0("copy_", func() { libtch.AtCopy_(dst, src) })
}
