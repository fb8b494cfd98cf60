package datasets

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// A proxy, a web server and a client.
//
// Note: beanstalkd and nghttpx are not among them. The former dies of its signal,
// the latter does not end while its connections are idle: no log is finished.
var web = []Program{
	{Name: "privoxy", Kind: "server", Packages: []string{"privoxy"}, Binary: "/usr/sbin/privoxy", Errors: true, Prepare: privoxy},
	{Name: "webfsd", Kind: "server", Packages: []string{"webfs"}, Binary: "/usr/bin/webfsd", Errors: true, Prepare: webfsd},
	{Name: "wget", Kind: "tool", Packages: []string{"wget"}, Binary: "/usr/bin/wget", Errors: true, Prepare: wget},
}

// driveProxy stands a web server behind a proxy on the port, asks for its pages
// through it, and then sends it the signal.
func driveProxy(w *Work, port int, l net.Listener, client *http.Client, base string, stop os.Signal) func(context.Context, *os.Process) error {
	body, proxy := w.Words(w.Between(50, 3000)), fmt.Sprintf("127.0.0.1:%d", port)
	r, n := rand.New(rand.NewPCG(w.Rand.Uint64(), 0)), w.Amount(60, 300)
	paths := []string{"/a.html", "/b/" + w.Word(2, 9), "/c.json", "/" + w.Word(9, 40)}
	return func(ctx context.Context, program *os.Process) error {
		server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, q *http.Request) {
			out.Header().Set("Set-Cookie", "c="+q.URL.Path)
			fmt.Fprintf(out, "<html><body onload=x>%s</body></html>", body)
		})}
		go server.Serve(l)
		defer server.Close()
		first, err := dialWhenUp(ctx, proxy)
		if err != nil {
			return err
		}
		first.Close()
		for range n {
			if fault := w.Fault(); fault != nil {
				webFault(ctx, fault, proxy)
			}
			if err := webRequest(ctx, client, r, base, paths, 0.5); err != nil {
				return err
			}
		}
		client.CloseIdleConnections()
		time.Sleep(20 * time.Millisecond)
		return program.Signal(stop)
	}
}

func privoxy(w *Work) (Command, error) {
	port := w.Port()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Command{}, err
	}
	w.Text("config", "confdir .\nlogdir .\nlogfile log\nactionsfile rules.action\nfilterfile rules.filter\nlisten-address 127.0.0.1:%d\ntoggle 1\nkeep-alive-timeout %d\nbuffer-limit 4096\ndebug %d\n", port, w.Between(1, 9), Pick(w, 1, 512, 4096))
	w.Write("rules.filter", func(b *bufio.Writer) {
		for i := range 9 {
			fmt.Fprintf(b, "FILTER: f%d %s\ns@%s(.)@<$1>@ig\ns|%s[a-m]+|%s|g\n", i, w.Words(3), w.Word(1, 3), w.Word(1, 2), w.Word(1, 9))
		}
	})
	w.Write("rules.action", func(b *bufio.Writer) {
		for i := range w.Between(3, 40) {
			fmt.Fprintf(b, "{%s}\n%s\n", Pick(w, fmt.Sprintf("+filter{f%d}", i%9), "+add-header{X-"+w.Word(2, 9)+": "+w.Words(2)+"}", "+block{"+w.Words(2)+"}", "+hide-user-agent{"+w.Word(3, 9)+"}", "+crunch-outgoing-cookies +session-cookies-only", "+deanimate-gifs{last}"), Pick(w, "/", "/.*"+w.Word(1, 1)+".*html", ".example."+w.Word(2, 3), "/b/"))
		}
	})
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}), DisableKeepAlives: true}}
	base := fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	return Command{Args: []string{"--no-daemon", "config"}, Exits: []int{1, 15}, Drive: driveProxy(w, port, l, client, base, syscall.SIGTERM)}, nil
}

func webfsd(w *Work) (Command, error) {
	port, paths := w.Port(), site(w)
	w.Scale *= 3
	return Command{Args: []string{"-F", "-4", "-i", "127.0.0.1", "-p", fmt.Sprint(port), "-r", "www", "-j", "-a", fmt.Sprint(w.Between(4, 200)), "-c", fmt.Sprint(w.Between(8, 64)), "-L", "access.log"}, Drive: driveWeb(w, port, append(paths, "/"), syscall.SIGTERM)}, nil
}

// wget fetches pages, and the pages that they link to, from a server inside the
// collector.
func wget(w *Work) (Command, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Command{}, err
	}
	pages := make(map[string]string)
	for i := range w.Amount(100, 500) {
		var page strings.Builder
		fmt.Fprintf(&page, "<html><base href=\"/\"><link rel=stylesheet href=\"s%d.css\">%s", i%5, w.Words(w.Between(5, 200)))
		for range w.Between(1, 20) {
			fmt.Fprintf(&page, "<a href=\"p%d.html?%s\">%s</a><img src='/%s.png'>", i+1+w.Rand.IntN(4), w.Word(1, 1), w.Words(2), w.Word(1, 1))
		}
		if fault := w.Fault(); fault != nil {
			fmt.Fprintf(&page, "<a href=\"http://[%[1]s\"></a><a href='none/%[1]s'></a><a href=//127.0.0.1:1/%[1]s></a><a href=%[1]s:x><img src=\"torn%[1]s\">", fault.Word(2, 9))
		}
		pages[fmt.Sprintf("/p%d.html", i)] = page.String()
	}
	handler := http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		page, ok := pages[in.URL.Path]
		switch {
		case strings.HasPrefix(in.URL.Path, "/torn"):
			out.Header().Set("Content-Length", "9999")
			io.WriteString(out, "too short")
		case strings.HasPrefix(in.URL.Path, "/none"):
			http.NotFound(out, in)
		case ok:
			http.SetCookie(out, &http.Cookie{Name: in.URL.Path[1:], Value: in.URL.RawQuery, Path: in.URL.Path})
			out.Header().Set("Content-Type", "text/html")
			io.WriteString(out, page)
		default:
			io.WriteString(out, "body { background: url(/p1.html) }")
		}
	})
	serve := func(ctx context.Context, _ *os.Process) error {
		server := &http.Server{Handler: handler}
		go func() { <-ctx.Done(); server.Close() }()
		server.Serve(l)
		return nil
	}
	return Command{Args: []string{"--no-config", "-q", "-r", "-l", fmt.Sprint(w.Between(3, 12)), "-p", "-t", "1", "--no-hsts", Pick(w, "-E", "-k", "-K"), fmt.Sprintf("http://%s/p0.html", l.Addr())}, Exits: []int{1, 4, 8}, Drive: serve}, nil
}
