package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"leakformer/model"
	"leakformer/model/torch"
	"leakformer/train"
)

// ourSide is the argument that makes this program our side of the network.
const ourSide = "our-side"

// serve carries out the commands of network.py with our network, and answers as that
// does.
func serve(in io.Reader, out io.Writer) error {
	var s server
	defer s.close()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		start, busy := time.Now(), processorTime()
		result, err := s.do(words)
		if err != nil {
			return fmt.Errorf("%v: %w", words, err)
		}
		fmt.Fprintln(out, time.Since(start).Seconds(), (processorTime() - busy).Seconds(), result)
	}
	return lines.Err()
}

// processorTime is what the process has used so far on all its threads.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type server struct {
	net   *torch.Net
	batch train.Batch
}

func (s *server) close() {
	if s.net != nil {
		s.net.Close()
	}
}

func (s *server) do(words []string) (result float64, err error) {
	switch {
	case len(words) == 3 && words[0] == "start":
		return 0, s.start(words[1], words[2])
	case len(words) == 2 && words[0] == "batch":
		return 0, s.read(words[1] + ".gob")
	case len(words) == 2 && words[0] == "step":
		rate, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			return 0, err
		}
		return s.net.Step(&s.batch, rate)
	case len(words) == 1 && words[0] == "predict":
		sites, _, err := s.net.Predict(&s.batch)
		for _, z := range sites {
			result += float64(z) / float64(len(sites))
		}
		return result, err
	case len(words) == 1 && words[0] == "memory":
		return peakMemory()
	case len(words) == 2 && words[0] == "gemm":
		return 0, nil // the other side measures it: it is the same library
	}
	return 0, fmt.Errorf("not a command")
}

func (s *server) start(weights, threads string) error {
	n, err := strconv.Atoi(threads)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(weights + ".json")
	if err != nil {
		return err
	}
	var c model.Config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	if s.net, err = torch.New(c, torch.Options{Threads: n, Clip: 1, WeightDecay: 0.01}); err != nil {
		return err
	}
	data, err := os.ReadFile(weights)
	if err != nil {
		return err
	}
	return s.net.LoadWeights(bytes.NewReader(data))
}

func (s *server) read(batch string) error {
	f, err := os.Open(batch)
	if err != nil {
		return err
	}
	defer f.Close()
	s.batch = train.Batch{}
	return gob.NewDecoder(f).Decode(&s.batch)
}

// peakMemory is the most that was resident so far, in MiB.
func peakMemory() (float64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	var kib float64
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	_, err = fmt.Sscan(rest, &kib)
	return kib / 1024, err
}
