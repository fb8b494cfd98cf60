package monitor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// JSONLines writes an alert a line.
type JSONLines struct{ W io.Writer }

// Name is that of the log.
func (JSONLines) Name() string { return "log" }

// Send writes the alert.
func (s JSONLines) Send(_ context.Context, a *Alert) error {
	line, err := json.Marshal(a)
	if err == nil {
		_, err = s.W.Write(append(line, '\n'))
	}
	return err
}

// Webhook posts each alert as a JSON object. The header Idempotency-Key holds its ID.
type Webhook struct {
	URL string
	// Timeout of one attempt; 0: 10 seconds.
	Timeout time.Duration
	// Client is nil for the usual one.
	Client *http.Client
}

// Name is the URL.
func (w *Webhook) Name() string { return "webhook " + redacted(w.URL) }

// Send posts the alert.
func (w *Webhook) Send(ctx context.Context, a *Alert) error {
	return post(ctx, w.Client, w.Timeout, w.URL, a, http.Header{"Idempotency-Key": {a.ID}})
}

// post sends a value as JSON. Any status from 200 to 299 is a receipt; 400, 413 and 422
// say that this content is not wanted, and that sending it again is no use.
func post(ctx context.Context, client *http.Client, timeout time.Duration, to string, value any, header http.Header) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(timeout, 10*time.Second))
	defer cancel()
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", "application/json")
	resp, err := cmp.Or(client, http.DefaultClient).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	switch s := resp.StatusCode; {
	case s >= 200 && s < 300:
		return nil
	case s == http.StatusBadRequest, s == http.StatusRequestEntityTooLarge, s == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %s: %.200q", ErrRefused, resp.Status, said)
	}
	return fmt.Errorf("the server answers %s", resp.Status)
}

// redacted is a URL without its password.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Redacted()
}

// Command runs a program for each alert: no shell sees it. The alert is on its
// standard input as a JSON object, and its chief members are in the environment
// variables LEAKFORMER_ID, LEAKFORMER_LEVEL, LEAKFORMER_SOURCE, LEAKFORMER_SITE,
// LEAKFORMER_BYTES and LEAKFORMER_RESOLVED. A status other than 0 is a failure.
type Command struct {
	Argv []string
	// Timeout of one run; 0: 30 seconds.
	Timeout time.Duration
}

// Name is the command.
func (c *Command) Name() string { return "command " + strings.Join(c.Argv, " ") }

// Send runs the program.
func (c *Command) Send(ctx context.Context, a *Alert) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, 30*time.Second))
	defer cancel()
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	cmd.Env = append(os.Environ(), "LEAKFORMER_ID="+a.ID, "LEAKFORMER_LEVEL="+a.Level.String(), "LEAKFORMER_SOURCE="+plain(a.Source),
		"LEAKFORMER_SITE="+plain(a.Site), fmt.Sprintf("LEAKFORMER_BYTES=%d", a.Bytes), fmt.Sprintf("LEAKFORMER_RESOLVED=%t", a.Resolved))
	var said clipped
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said))
	}
	return nil
}

// clipped keeps the first words that a program says.
type clipped []byte

func (c *clipped) Write(p []byte) (int, error) {
	*c = append(*c, p[:min(len(p), 200-len(*c))]...)
	return len(p), nil
}

// plain is text that an environment variable can hold.
func plain(s string) string { return strings.ReplaceAll(s, "\x00", "") }
