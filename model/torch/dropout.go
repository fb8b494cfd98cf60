package torch

// A dropout zeroes a random share of values and scales up the rest, so that the
// mean stays. It has random numbers of its own, not libtorch's: those are one
// sequence for all threads, so that a result would depend on which comes first.
// A nil dropout does nothing.
type dropout struct {
	share float64
	state uint64
}

// newDropout starts the random numbers of one part of one step.
func newDropout(share float64, seed, step uint64, part int) *dropout {
	if share == 0 {
		return nil
	}
	return &dropout{share: share, state: mix(mix(mix(seed)^step) ^ uint64(part))}
}

const golden = 0x9e3779b97f4a7c15

// mix is the output function of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z += golden
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fill makes mask the factors of len(mask) values, each from 16 random bits.
func (d *dropout) fill(mask []float32) {
	factors := [2]float32{float32(1 / (1 - d.share)), 0}
	limit := uint64(d.share * (1 << 16))
	var bits uint64
	for i := range mask {
		if i%4 == 0 {
			d.state += golden
			bits = mix(d.state)
		}
		mask[i] = factors[(bits&0xffff-limit)>>63] // below the limit the sign bit is set
		bits >>= 16
	}
}

// apply drops values of t, of rows by columns.
func (d *dropout) apply(s *scope, t tensor, rows, columns int64) tensor {
	if d == nil {
		return t
	}
	return s.mul(t, filled(s, d.fill, rows, columns))
}
