package store

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leakformer/detect/dashboard"
	"leakformer/detect/store/storetest"
)

// server starts a Redis that ends with the test, and returns its URL and what ends it
// sooner.
func server(t testing.TB) (url string, end func()) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("there is no redis-server: apt install redis-server")
	}
	dir, err := os.MkdirTemp("", "redis") // a socket's name has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(program, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(end)
	for range 200 {
		if _, err := os.Stat(socket); err == nil {
			return "unix://" + socket, end
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("redis-server opened no socket in ten seconds")
	return "", nil
}

func share(t testing.TB, path, url string) *Shared {
	t.Helper()
	c, err := Share(context.Background(), open(t, path), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// With a Redis the answers are the same as without.
func TestShared(t *testing.T) {
	url, _ := server(t)
	storetest.Test(t, func(t *testing.T) dashboard.Store { return share(t, filepath.Join(t.TempDir(), "a.db"), url) })
}

// Two dashboards share answers, and both see what either changes.
func TestSharedByTwo(t *testing.T) {
	ctx := context.Background()
	url, _ := server(t)
	path := filled(t)
	a, b := share(t, path, url), share(t, path, url)
	all := dashboard.Query{}
	first, err := a.List(ctx, all)
	if err != nil || len(first) != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	// What the other is told comes out of the Redis: it tells what is put there.
	key, err := b.key("list", all)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := b.client.Exists(ctx, key).Result(); n != 1 || err != nil {
		t.Fatalf("the answer is not in the Redis, %v", err)
	}
	if err := b.client.Set(ctx, key, `[{"id":"shared"}]`, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if found, err := b.List(ctx, all); err != nil || len(found) != 1 || found[0].ID != "shared" {
		t.Errorf("%+v, %v", found, err)
	}
	if err := a.Decide(ctx, first[0].ID, dashboard.Confirmed); err != nil {
		t.Fatal(err)
	}
	if found, err := b.List(ctx, all); err != nil || len(found) != 1 || found[0].Decision != dashboard.Confirmed {
		t.Errorf("an old answer: %+v, %v", found, err)
	}
	// What is no answer is none.
	if key, err = b.key("list", all); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Set(ctx, key, "nonsense", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if found, err := b.List(ctx, all); err != nil || len(found) != 1 || found[0].Decision != dashboard.Confirmed {
		t.Errorf("%+v, %v", found, err)
	}
}

// A Redis that ends takes nothing with it.
func TestSharedGone(t *testing.T) {
	url, end := server(t)
	var said bytes.Buffer
	s, err := Open(context.Background(), Config{Path: filled(t), Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Share(context.Background(), s, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	end()
	for range 3 {
		if found, err := c.List(context.Background(), dashboard.Query{}); err != nil || len(found) != 1 {
			t.Errorf("%+v, %v", found, err)
		}
	}
	if n := strings.Count(said.String(), "the Redis does not answer"); n != 1 {
		t.Errorf("said %d times: %s", n, &said)
	}
}

func TestShareRefuses(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "a.db"))
	for url, want := range map[string]string{
		"redis://user:secret@127.0.0.1:1/0": "the Redis at 127.0.0.1:1: ",
		"http://user:secret@x":              "the URL of the Redis: redis: invalid URL scheme: http",
		"redis://user:secret@[::1":          "the URL of the Redis: ",
	} {
		_, err := Share(context.Background(), s, url)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}
