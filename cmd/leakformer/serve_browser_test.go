package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

	"leakformer/detect/dashboard"
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
	other, err := filepath.Glob(filepath.Join(dir, "leaky", "5.raw"))
	if err != nil || len(other) != 1 {
		t.Fatal("no second log", err)
	}
	page := served(t, "--model", model, "--labels", filepath.Join(dir, "decided.json"), leaky, other[0])
	var found []dashboard.Finding
	for range 600 {
		if found = until(t, page); len(found) == 2 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
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
			v := &visit{t, tab, page, look.name, found}
			if err := chromedp.Run(tab); err != nil { // starts the browser
				t.Fatal(err)
			}
			scheme := emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}})
			v.do("open", log.Enable(), scheme, chromedp.EmulateViewport(look.width, 900), chromedp.Navigate(page), chromedp.WaitVisible("#findings tbody tr"))
			if back := v.text("getComputedStyle(document.body).backgroundColor"); back != look.back {
				t.Errorf("background %s", back)
			}
			v.list()
			v.detail()
			v.decisions()
			v.flame()
			v.compare()
			v.exports()
			if said := console(); len(said) > 0 || v.text("document.querySelector('#state').textContent") != "Up to date." {
				t.Errorf("the console says %q", said)
			}
		})
	}
}

// visit is somebody's way through the page.
type visit struct {
	t     *testing.T
	tab   context.Context
	page  string
	name  string
	found []dashboard.Finding
}

func (v *visit) do(what string, actions ...chromedp.Action) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
}

// text is what a script says.
func (v *visit) text(script string) (said string) {
	v.t.Helper()
	v.do(script, chromedp.Evaluate("String("+script+")", &said))
	return said
}

// want holds what scripts say against what they should, and the page against its window.
func (v *visit) want(what string, answers map[string]string) {
	v.t.Helper()
	answers["document.documentElement.scrollWidth <= innerWidth"] = "true"
	for script, want := range answers {
		if got := v.text(script); got != want {
			v.t.Errorf("%s: %s is %q, want %q", what, script, got, want)
		}
	}
	v.do("picture", picture(v.t, v.name+"-"+what+".png"))
}

func (v *visit) list() {
	v.do("timeline", chromedp.WaitVisible("#timeline canvas"), chromedp.WaitVisible("#alerts tbody tr"))
	v.want("list", map[string]string{
		"document.querySelectorAll('#findings tbody tr').length":                                                                           "2",
		"echarts.getInstanceByDom(document.querySelector('#timeline .canvas')).getOption().series.map(s => s.name + s.data.length).join()": "live121,judged leaked121,alerts1",
		"document.querySelectorAll('#timeline tbody tr').length":                                                                           "12",
		"Array.from(document.querySelectorAll('#program option'), o => o.value).join()":                                                    ",app",
	})
	v.do("filter", input.DispatchKeyEvent(input.KeyDown).WithKey("/"), chromedp.WaitReady("#text:focus"), chromedp.SendKeys("#text", "no such function"), chromedp.WaitVisible("#none"))
	v.want("filtered", map[string]string{"location.hash": "#q=no+such+function"})
	v.do("unfilter", chromedp.SendKeys("#text", strings.Repeat(kb.Backspace, 20)), chromedp.WaitVisible("#findings tbody tr"))
	v.do("one log", chromedp.SetValue("#log", v.found[1].Log), chromedp.WaitNotPresent("#findings tbody tr:nth-child(2)"))
	v.want("one log", map[string]string{"$('run').value": v.found[1].Log, "new URLSearchParams(location.hash.slice(1)).get('log')": v.found[1].Log})
	v.do("all logs", chromedp.Evaluate("history.back()", nil), chromedp.WaitVisible("#findings tbody tr:nth-child(2)"))
}

func (v *visit) detail() {
	v.do("detail", chromedp.Focus("td.site .open"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#course canvas"), chromedp.WaitVisible("#sequence svg line"))
	v.want("detail", map[string]string{
		"new URLSearchParams(location.hash.slice(1)).get('id')":        v.found[0].ID,
		"$('about').textContent.includes('leak, P')":                   "true",
		"document.querySelectorAll('#course tbody tr').length":         "12",
		"document.querySelectorAll('#sequence line').length":           "60",
		"document.querySelectorAll('#sequence line.leaked').length":    "30",
		"document.querySelectorAll('#sequence tbody tr').length >= 60": "true",
		"document.querySelectorAll('#rests svg rect').length > 0":      "true",
		"document.activeElement.id":                                    "site",
	})
	v.do("the same address again", chromedp.Reload(), chromedp.WaitVisible("#sequence svg line"))
}

func (v *visit) decisions() {
	v.do("decide", chromedp.Click("#decide .confirm"), chromedp.WaitVisible("#decide .confirm[aria-pressed=true]"), chromedp.WaitVisible("tbody .confirm[aria-pressed=true]"))
	if got := until(v.t, v.page)[0].Decision; got != "confirmed" {
		v.t.Errorf("decision %q", got)
	}
	v.do("take back", chromedp.Click("tbody .confirm[aria-pressed=true]"), chromedp.WaitNotPresent(".confirm[aria-pressed=true]"))
	post(v.t, v.page, v.found[0], "dismissed") // by somebody else
	v.do("told", chromedp.WaitVisible("tbody .dismiss[aria-pressed=true]"))
	post(v.t, v.page, v.found[0], "")
	v.do("close", chromedp.WaitNotPresent("tbody .dismiss[aria-pressed=true]"), chromedp.KeyEvent(kb.Escape), chromedp.WaitNotVisible("#detail"))
}

func (v *visit) flame() {
	v.do("flame graph", chromedp.Click("nav a[data-view=flame]"), chromedp.WaitVisible("#flame button:nth-child(3)"), chromedp.WaitVisible("#functions tbody tr"))
	v.want("flame", map[string]string{
		"Array.from(document.querySelectorAll('#flame button'), b => b.textContent).join()": "all leaks,app+0x100,app+0x400",
		"$('flame').previousElementSibling":                                                 "null", "document.querySelectorAll('#functions tbody tr').length": "2",
	})
	v.do("by keys", chromedp.Focus("#flame button"), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter))
	v.want("zoomed", map[string]string{"document.activeElement.textContent": "app+0x400", "new URLSearchParams(location.hash.slice(1)).get('zoom')": "app+0x100\napp+0x400",
		"$('flame-says').textContent.startsWith('app+0x400: ')": "true"})
	v.do("search", chromedp.KeyEvent(kb.Escape), chromedp.SendKeys("#find", "0x400"), chromedp.WaitVisible("#flame .hit"))
	v.want("searched", map[string]string{"$('flame-says').textContent.startsWith('100.0 % of ')": "true", "document.querySelectorAll('#flame .hit').length": "1"})
	v.do("hide", chromedp.SendKeys("#hide", "0x1.0$"), chromedp.WaitNotPresent("#flame button:nth-child(3)"))
	v.do("all", chromedp.Click("#reset"), chromedp.WaitVisible("#flame button:nth-child(3)"), chromedp.Click("#invert"), poll("document.querySelector('#flame button:nth-child(2)')?.textContent == 'app+0x400'"))
	v.want("inverted", map[string]string{"new URLSearchParams(location.hash.slice(1)).get('invert')": "yes"})
	v.do("no expression", chromedp.SendKeys("#hide", "("), poll("$('flame-says').textContent.includes('no regular expression')"))
}

func (v *visit) compare() {
	v.do("compare", chromedp.Navigate(v.page+"#view=compare"), chromedp.WaitVisible("#compared tbody tr"))
	v.want("compare", map[string]string{
		"$('a').value + ' ' + $('b').value":                                         "log:" + v.logs()[0] + " log:" + v.logs()[1],
		"document.querySelector('#compared caption').textContent":                   "In both: 1 site",
		"/^A: .* at 1 sites. B: .* at 1 sites/.test($('compare-says').textContent)": "true",
	})
	v.do("a program", chromedp.SetValue("#b", "program:app"), poll("$('compare-says').textContent.includes('of 2 runs')"))
	v.want("program", map[string]string{"new URLSearchParams(location.hash.slice(1)).get('b')": "program:app"})
	v.do("its finding", chromedp.Click("#compared .link"), chromedp.WaitVisible("#detail"))
}

// logs are in the order in which they were named.
func (v *visit) logs() []string {
	logs := []string{v.found[0].Log, v.found[1].Log}
	slices.Sort(logs)
	return logs
}

// What the page's links lead to is a file of what is shown.
func (v *visit) exports() {
	v.do("export", chromedp.Navigate(v.page+"#level=INFO"), chromedp.Click("#export summary"), chromedp.WaitVisible("#export a"))
	v.want("export", map[string]string{"document.querySelectorAll('#export a').length": "6"})
	for format, want := range map[string]string{"json": `"level":"INFO"`, "csv": "log,site,probability", "sarif": `"version":"2.1.0"`, "collapsed": "app+0x100;app+0x400 ", "html": "<!DOCTYPE html>", "pprof": "\x1f\x8b"} {
		link := v.text("document.querySelector('#export a[href*=" + format + "]').href")
		resp, err := http.Get(link)
		if err != nil {
			v.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.HasSuffix(link, "&level=INFO") || !strings.Contains(string(body), want) {
			v.t.Errorf("%s: %s, %v: %.300s", link, resp.Status, err, body)
		}
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
	v := &visit{t, tab, page, "markup", found}
	if err := chromedp.Run(tab); err != nil {
		t.Fatal(err)
	}
	v.do("detail", log.Enable(), chromedp.Navigate(page+"#id="+found[0].ID), chromedp.WaitVisible("#rests svg"))
	as := func(what string, scripts ...string) {
		t.Helper()
		answers := map[string]string{"document.title": "Memory leaks", "document.querySelectorAll('body script, img').length": "0"}
		for _, script := range scripts {
			answers[script] = name
		}
		v.want(what, answers)
	}
	as("detail", "$('site').textContent", "$('warnings').textContent", "$('alerts').querySelector('.link').textContent", "$('run').value", "document.querySelector('#rests td').textContent")
	v.do("flame graph", chromedp.Click("nav a[data-view=flame]"), chromedp.WaitVisible("#flame button:nth-child(2)"))
	as("flame", "document.querySelector('#flame button:nth-child(2)').textContent", "document.querySelector('#functions td').textContent")
	v.do("alone", chromedp.Evaluate("document.querySelector('#flame button:nth-child(2)').click()", nil), poll("location.hash.includes('zoom')"))
	as("zoomed", "new URLSearchParams(location.hash.slice(1)).get('zoom')")
	v.do("compare", chromedp.Click("nav a[data-view=compare]"), chromedp.WaitVisible("#compared tbody tr"))
	as("compare", "document.querySelector('#compared .link').textContent", "document.querySelector('#a option').value.slice(4)")
	if said := console(); len(said) > 0 {
		t.Errorf("console: %q", said)
	}
}

// browse starts a browser that ends after three minutes. Its processes write into
// its folder a moment longer.
func browse(t *testing.T, browser string) (context.Context, context.CancelFunc) {
	profile, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 100 {
			if err = os.RemoveAll(profile); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Log(err)
	})
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	return ctx, func() { cancel(); stop() }
}

// poll waits until an expression is true. It looks again by the clock: a tab that
// draws nothing new has no frames to look at.
func poll(expression string) chromedp.Action {
	return chromedp.Poll(expression, nil, chromedp.WithPollingInterval(50*time.Millisecond))
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
