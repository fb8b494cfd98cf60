package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Somebody looks through the findings with a browser, in light and in dark, on a wide
// window and on a telephone: by mouse and by keys, with nothing on the console.
// LEAKFORMER_SCREENSHOTS names a folder for pictures.
func TestServeBrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium: apt install chromium")
	}
	dir, leaky, model := leakyLog(t)
	page := served(t, "--model", model, "--labels", filepath.Join(dir, "decided.json"), leaky)
	found := until(t, page)
	ctx, cancel := browse(t, browser)
	defer cancel()
	for _, look := range []struct {
		name, scheme string
		width        int64
		back         string
	}{{"light", "light", 1200, "rgb(253, 253, 252)"}, {"dark", "dark", 390, "rgb(21, 24, 28)"}} {
		t.Run(look.name, func(t *testing.T) {
			tab, cancel := chromedp.NewContext(ctx)
			defer cancel()
			console := listened(tab)
			var back, url, about, state string
			var rows, wide, course, table int
			run := func(what string, actions ...chromedp.Action) {
				t.Helper()
				if err := chromedp.Run(tab, actions...); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			scheme := emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}})
			run("open", log.Enable(), scheme, chromedp.EmulateViewport(look.width, 900), chromedp.Navigate(page),
				chromedp.WaitVisible("#findings tbody tr"), chromedp.Evaluate("document.querySelectorAll('#findings tbody tr').length", &rows),
				chromedp.Evaluate("getComputedStyle(document.body).backgroundColor", &back),
				chromedp.Evaluate("document.documentElement.scrollWidth - innerWidth", &wide), picture(t, look.name+"-list.png"))
			if rows != len(found) || back != look.back || wide > 0 {
				t.Errorf("%d rows of %d, background %s, %d pixels too wide", rows, len(found), back, wide)
			}
			run("filter", input.DispatchKeyEvent(input.KeyDown).WithKey("/"), chromedp.WaitReady("#text:focus"), chromedp.SendKeys("#text", "no such function"), chromedp.WaitVisible("#none"),
				chromedp.Location(&url), chromedp.SendKeys("#text", strings.Repeat(kb.Backspace, 20)), chromedp.WaitVisible("#findings tbody tr"))
			if !strings.HasSuffix(url, "#q=no+such+function") {
				t.Errorf("the filter is not in the address: %s", url)
			}
			run("detail", chromedp.Focus("td.site .open"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#course svg path.live"), chromedp.Text("#about", &about),
				chromedp.Evaluate("document.querySelectorAll('#course svg path').length", &course), chromedp.Evaluate("document.querySelectorAll('#course tbody tr').length", &table),
				chromedp.Location(&url), chromedp.Evaluate("document.documentElement.scrollWidth - innerWidth", &wide), picture(t, look.name+"-detail.png"))
			if !strings.Contains(url, "id="+found[0].ID) || !strings.Contains(about, "leak, P") || course != 2 || table != 10 || wide > 0 {
				t.Errorf("%s: %q, %d paths, %d rows, %d pixels too wide", url, about, course, table, wide)
			}
			run("the same address again", chromedp.Reload(), chromedp.WaitVisible("#course svg path.live"))
			run("decide", chromedp.Click("#decide .confirm"), chromedp.WaitVisible("#decide .confirm[aria-pressed=true]"), chromedp.WaitVisible("tbody .confirm[aria-pressed=true]"))
			if got := until(t, page)[0].Decision; got != "confirmed" {
				t.Errorf("decision %q", got)
			}
			run("take back", chromedp.Click("tbody .confirm[aria-pressed=true]"), chromedp.WaitNotPresent(".confirm[aria-pressed=true]"))
			post(t, page, found[0], "dismissed") // by somebody else
			run("told", chromedp.WaitVisible("tbody .dismiss[aria-pressed=true]"), chromedp.Text("#state", &state))
			post(t, page, found[0], "")
			run("close", chromedp.KeyEvent(kb.Escape), chromedp.WaitNotVisible("#detail"))
			if said := console(); len(said) > 0 || state != "Up to date." {
				t.Errorf("the page says %q, the console %q", state, said)
			}
		})
	}
}

// Names out of a log are text, whatever they look like.
func TestServeMarkup(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium: apt install chromium")
	}
	const name = `<script>document.title = 'run'</script><img src=x onerror="document.title = 'run'">`
	quoted, _ := json.Marshal(name)
	findings := filepath.Join(t.TempDir(), "findings.jsonl")
	text := fmt.Sprintf(`{"type":"finding","log":%[1]s,"site":%[1]s,"frames":[{"function":%[1]s,"file":%[1]s}],"probability":0.9,"leak":true,"leaked":{"blocks":1,"bytes":5},"why":[%[1]s],"attribution":[{"what":%[1]s,"effect":1}]}
{"type":"summary","log":%[1]s,"warnings":[%[1]s]}
`, quoted)
	if err := os.WriteFile(findings, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	page := served(t, findings)
	found := until(t, page)
	ctx, cancel := browse(t, browser)
	defer cancel()
	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	console := listened(tab)
	var title, site, warning string
	var scripts int
	err = chromedp.Run(tab, log.Enable(), chromedp.Navigate(page+"#id="+found[0].ID), chromedp.WaitVisible("#rests svg"), chromedp.Title(&title),
		chromedp.Text("#site", &site), chromedp.Text("#warnings", &warning), chromedp.Evaluate("document.querySelectorAll('body script, img').length", &scripts))
	if err != nil || title != "Memory leaks" || site != name || warning != name || scripts != 0 {
		t.Errorf("title %q, site %q, warning %q, %d scripts and pictures; %v", title, site, warning, scripts, err)
	}
	if said := console(); len(said) > 0 {
		t.Errorf("console: %q", said)
	}
}

// browse starts a browser that ends after three minutes.
func browse(t *testing.T, browser string) (context.Context, context.CancelFunc) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	return ctx, func() { cancel(); stop() }
}

// listened collects what is said on the console.
func listened(tab context.Context) func() []string {
	var mu sync.Mutex
	var said []string
	chromedp.ListenTarget(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			said = append(said, string(e.Type))
		case *runtime.EventExceptionThrown:
			said = append(said, e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			said = append(said, e.Entry.Text+" "+e.Entry.URL)
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return said
	}
}

// picture saves what is seen, if somebody wants to see it.
func picture(t *testing.T, name string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		dir := os.Getenv("LEAKFORMER_SCREENSHOTS")
		if dir == "" {
			return nil
		}
		var png []byte
		if err := chromedp.FullScreenshot(&png, 100).Do(ctx); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), png, 0o644)
	})
}
