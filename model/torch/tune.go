package torch

import "runtime"

func Cores() int { return runtime.NumCPU() }
