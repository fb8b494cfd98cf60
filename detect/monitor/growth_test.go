package monitor

import (
	"encoding/json"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	g := Growth{Threshold: 0.02, Consecutive: 3, MinSize: 1000}
	for _, c := range []struct {
		name   string
		values []int64
		fired  int // the first step that fires, -1 for none
		base   int64
	}{
		{"steady", []int64{5000, 5000, 5000, 5000, 5000}, -1, 5000},
		{"2 % three times", []int64{5000, 5100, 5202, 5307}, 3, 5000},
		{"a little less", []int64{5000, 5099, 5198, 5297, 5396}, -1, 5396},
		{"interrupted", []int64{5000, 5200, 5500, 5400, 5600, 5800, 6000}, 6, 5400},
		{"small", []int64{100, 200, 400, 800}, -1, 800},
		{"small at first", []int64{100, 900, 1000, 2000, 3000}, 4, 900},
		{"from nothing", []int64{0, 2000, 3000, 4000}, 3, 0},
		{"first sight is no growth", []int64{1 << 40}, -1, 1 << 40},
		{"huge", []int64{1 << 60, 5 << 60 / 4, 3 << 60 / 2, 7 << 60 / 4}, 3, 1 << 60},
	} {
		var trend Trend
		fired := -1
		for i, v := range c.values {
			if g.Step(&trend, v) && fired < 0 {
				fired = i
			}
		}
		if fired != c.fired || trend.Baseline != c.base {
			t.Errorf("%s: fired at %d with baseline %d, want %d with %d", c.name, fired, trend.Baseline, c.fired, c.base)
		}
	}
}

func TestLevels(t *testing.T) {
	small := Limits{Critical: 1000, Warning: 100}
	for _, c := range []struct {
		limits   Limits
		weighted float64
		frames   int
		want     Level
	}{
		{Limits{}, 100e6, 3, Warning}, {Limits{}, 100e6 + 1, 3, Critical},
		{Limits{}, 50e6, 2, Warning}, {Limits{}, 50e6 + 1, 2, Critical}, {Limits{}, 50e6 + 1, 3, Warning},
		{Limits{}, 10e6, 5, Info}, {Limits{}, 10e6 + 1, 5, Warning}, {Limits{}, 0, 0, Info},
		{small, 1001, 0, Critical}, {small, 1000, 0, Warning}, {small, 101, 9, Warning},
		{Limits{ShallowFrames: 1}, 60e6, 1, Warning},
	} {
		if got := c.limits.Level(c.weighted, c.frames); got != c.want {
			t.Errorf("%+v: %v bytes, %d frames: %v, want %v", c.limits, c.weighted, c.frames, got, c.want)
		}
	}
	for l := Silent; l <= Critical; l++ {
		data, err := json.Marshal(l)
		var back Level
		if err != nil || json.Unmarshal(data, &back) != nil || back != l {
			t.Errorf("%v is %s and back %v", l, data, back)
		}
	}
	if err := new(Level).UnmarshalText([]byte("loud")); err == nil {
		t.Error("loud is a level")
	}
}

func TestPace(t *testing.T) {
	loads := []float64{0.5, 0.95, 1, 1, 1, 0.8, 0.6, 0.1, 0, 0, 0.95}
	want := []time.Duration{1, 2, 4, 8, 8, 8, 4, 2, 1, 1, 2}
	i := 0
	p := Pace{Interval: time.Second, Load: func() float64 { return loads[i] }}
	for ; i < len(loads); i++ {
		if got := p.Next(); got != want[i]*time.Second {
			t.Errorf("step %d, load %v: %v, want %v s", i, loads[i], got, int(want[i]))
		}
	}
	if got := (&Pace{Interval: 7}).Next(); got != 7 {
		t.Errorf("without a load: %v", got)
	}
	idle, all := cpuTimes([]byte("cpu  10 1 5 70 14 0 0 0 3 0\ncpu0 1 1 1 1\n"))
	if idle != 84 || all != 100 {
		t.Errorf("idle %d of %d, want 84 of 100", idle, all)
	}
	for _, bad := range []string{"", "cpu", "cpu x 1 2", "intr 1"} {
		cpuTimes([]byte(bad))
	}
	if l := CPULoad(); l() < 0 || l() > 1 {
		t.Error("the load is no share")
	}
}
