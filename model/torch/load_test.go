package torch

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestKernels runs itself again in processes of their own, where libtorch is not
// loaded yet, with an OpenBLAS that takes the processor for an old one: once
// because the user says so, and once as if it knew no better, for us to say.
func TestKernels(t *testing.T) {
	switch os.Getenv("KERNELS_CHILD") {
	case "improve":
		chooseKernels(func(core string) string {
			os.Stdout.WriteString("before=" + core + " ")
			return "CORE2"
		})
		fallthrough
	case "respect":
		os.Stdout.WriteString("after=" + Kernels() + "\n")
		return
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	if Kernels() == "" {
		t.Skip("this libtorch does not use OpenBLAS")
	}
	for _, test := range []struct{ child, want string }{
		{"respect", "after=Nehalem\n"},
		{"improve", "before=Nehalem after=Core2\n"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKernels$")
		cmd.Env = append(os.Environ(), "KERNELS_CHILD="+test.child, coreVariable+"=NEHALEM")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v: %q, want %q", test.child, err, out, test.want)
		}
	}
}
