package datasets

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Servers are started on a free port of the loopback interface, loaded by
// clients in the collector, and shut down in order, so that the tracer can
// finish its log.
//
// Note: dnsmasq is not among them. At its start it closes every file that it
// has inherited, the tracer's log too.
var servers = []Program{
	{Name: "redis", Kind: "server", Packages: []string{"redis-server"}, Binary: "/usr/bin/redis-server", Jemalloc: true, Errors: true, Prepare: redis},
	{Name: "nginx", Kind: "server", Packages: []string{"nginx-light"}, Binary: "/usr/sbin/nginx", Errors: true, Prepare: nginx},
	{Name: "lighttpd", Kind: "server", Packages: []string{"lighttpd"}, Binary: "/usr/sbin/lighttpd", Errors: true, Prepare: lighttpd},
	{Name: "haproxy", Kind: "server", Packages: []string{"haproxy"}, Binary: "/usr/sbin/haproxy", Errors: true, Prepare: haproxy},
	{Name: "mosquitto", Kind: "server", Packages: []string{"mosquitto"}, Binary: "/usr/sbin/mosquitto", Errors: true, Prepare: mosquitto},
	{Name: "python-web", Kind: "server", Packages: []string{"python3"}, Binary: "/usr/bin/python3", Errors: true, Prepare: pythonWeb},
	{Name: "php-web", Kind: "server", Packages: []string{"php-cli"}, Binary: "/usr/bin/php", Errors: true, Prepare: phpWeb},
}

// dialWhenUp connects to a server that has just been started.
func dialWhenUp(ctx context.Context, address string) (net.Conn, error) {
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// driveTCP loads a server over one connection after another: session is called
// on a fresh connection, n times, and the server is then sent the signal.
func driveTCP(address string, n int, stop os.Signal, session func(i int, c net.Conn) error) func(context.Context, *os.Process) error {
	return func(ctx context.Context, program *os.Process) error {
		for i := range n {
			c, err := dialWhenUp(ctx, address)
			if err != nil {
				return err
			}
			if deadline, ok := ctx.Deadline(); ok {
				c.SetDeadline(deadline)
			}
			err = session(i, c)
			c.Close()
			if err != nil {
				return fmt.Errorf("session %d: %w", i, err)
			}
		}
		if stop == nil {
			return nil
		}
		return program.Signal(stop)
	}
}

func redis(w *Work) (Command, error) {
	port, bound, perSession := w.Port(), w.Between(30, 600), w.Between(40, 400)
	r := rand.New(rand.NewPCG(w.Rand.Uint64(), 0))
	sessions := w.Amount(30, 200)
	one := func(i int, c net.Conn) error {
		in := bufio.NewReader(c)
		for range perSession {
			if fault := w.Fault(); fault != nil {
				if err := redisCall(c, in, redisFault(fault, bound)); err != nil {
					return err
				}
			}
			k := r.IntN(bound)
			command := Pick(&Work{Rand: r},
				fmt.Sprintf("SET key:%d %s EX %d", k, strings.Repeat("x", r.IntN(300)), 1+r.IntN(100)), fmt.Sprintf("GET key:%d", k), fmt.Sprintf("DEL key:%d", k),
				fmt.Sprintf("LPUSH list:%d a%d b c", k%17, k), fmt.Sprintf("LTRIM list:%d 0 %d", k%17, 20+bound/8), fmt.Sprintf("HSET hash:%d f%d %s", k%23, r.IntN(40), strings.Repeat("y", r.IntN(90))), fmt.Sprintf("HDEL hash:%d f%d", k%23, r.IntN(40)),
				fmt.Sprintf("ZADD rank %d member:%d", r.IntN(1000), k), fmt.Sprintf("ZREM rank member:%d", r.IntN(bound)), fmt.Sprintf("SADD set:%d %s%d", k%9, strings.Repeat("m", r.IntN(20)), k), fmt.Sprintf("SPOP set:%d 2", k%9),
				fmt.Sprintf("APPEND key:%d zz", k), fmt.Sprintf("EVAL \"return redis.call('incr','n%d')\" 0", k%7), "INFO", fmt.Sprintf("SORT list:%d ALPHA", k%17))
			if err := redisCall(c, in, command); err != nil {
				return err
			}
		}
		if i == sessions-1 {
			fmt.Fprint(c, "SHUTDOWN NOSAVE\r\n")
		}
		return nil
	}
	return Command{Args: []string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "allkeys-lru", "--io-threads", "1", "--logfile", "log"},
		Drive: driveTCP(fmt.Sprintf("127.0.0.1:%d", port), sessions, nil, one)}, nil
}

// redisFault returns a command that fails.
func redisFault(w *Work, bound int) string {
	k := w.Rand.IntN(bound)
	return Pick(w, w.Word(3, 12)+" x", fmt.Sprintf("LPUSH key:%d %s", k, w.Word(1, 99)), fmt.Sprintf("GET list:%d", k%17), fmt.Sprintf("HSET hash:%d odd", k%23), fmt.Sprintf("INCR hash:%d", k%23),
		fmt.Sprintf("EVAL \"return redis.call('nowhere', '%s')\" 0", w.Word(2, 9)), fmt.Sprintf("EVAL \"return %s(\" 0", w.Word(2, 9)), fmt.Sprintf("ZADD rank %s member:%d", w.Word(2, 9), k),
		fmt.Sprintf("SET key:%d x EX %s", k, w.Word(1, 5)), fmt.Sprintf("GEORADIUS rank %s", w.Words(4)), "XREADGROUP GROUP g c STREAMS s >", fmt.Sprintf("RESTORE key:x%d 0 %s", k, w.Word(5, 90)))
}

// redisCall sends an inline command and reads its whole answer.
func redisCall(c net.Conn, in *bufio.Reader, command string) error {
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return err
	}
	for pending := 1; pending > 0; pending-- {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		n := 0
		fmt.Sscanf(line[1:], "%d", &n)
		switch {
		case line[0] == '*' && n > 0:
			pending += n
		case line[0] == '$' && n >= 0:
			if _, err := in.Discard(n + 2); err != nil {
				return err
			}
		}
	}
	return nil
}

// site writes static files for a web server and returns their paths.
func site(w *Work) []string {
	var paths []string
	for i := range w.Between(10, 80) {
		name := fmt.Sprintf("%s/%s%d.%s", w.Word(1, 1), w.Word(2, 9), i, Pick(w, "html", "txt", "css", "json"))
		w.Text("www/"+name, "<html>%s</html>", w.Words(w.Between(5, 3000)))
		paths = append(paths, "/"+name)
	}
	return paths
}

// driveWeb asks a web server for pages, existing and not, in ways that differ,
// and then sends it the signal.
func driveWeb(w *Work, port int, paths []string, stop os.Signal) func(context.Context, *os.Process) error {
	r, n := rand.New(rand.NewPCG(w.Rand.Uint64(), 0)), w.Amount(250, 2000)
	keepAlive := w.Rand.Float64()
	return func(ctx context.Context, program *os.Process) error {
		first, err := dialWhenUp(ctx, fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		first.Close()
		client := &http.Client{Transport: new(http.Transport)}
		defer client.CloseIdleConnections()
		for range n {
			if fault := w.Fault(); fault != nil {
				webFault(ctx, fault, fmt.Sprintf("127.0.0.1:%d", port))
			}
			if err := webRequest(ctx, client, r, fmt.Sprintf("http://127.0.0.1:%d", port), paths, keepAlive); err != nil {
				return err
			}
		}
		client.CloseIdleConnections()
		return program.Signal(stop)
	}
}

// webFault sends a request that a web server refuses, or breaks off. Whatever
// becomes of it is no matter.
func webFault(ctx context.Context, w *Work, address string) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	word := w.Word(2, 30)
	fmt.Fprint(c, Pick(w, "GET /nowhere"+word+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET /"+word+"/nowhere?"+word+" HTTP/1.0\r\n\r\n", word+" / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /%zz%"+word+" HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/7.5\r\n"+word+"\r\n\r\n", "POST /"+word+" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\nConnection: close\r\n\r\n"+word,
		"GET /../../"+word+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: "+word+" "+word+"\r\n: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n"+word))
	c.(*net.TCPConn).CloseWrite()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	io.Copy(io.Discard, c)
}

func webRequest(ctx context.Context, client *http.Client, r *rand.Rand, base string, paths []string, keepAlive float64) error {
	method, path, body := http.MethodGet, paths[r.IntN(len(paths))], ""
	switch r.IntN(11) {
	case 0:
		method = http.MethodHead
	case 1:
		method, body = http.MethodPost, strings.Repeat("field=value&", r.IntN(200))
	case 2:
		path += "?q=" + strings.Repeat("x", r.IntN(600))
	}
	q, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Close = r.Float64() > keepAlive
	q.Header.Set("User-Agent", strings.Repeat("agent ", 1+r.IntN(9)))
	if r.IntN(4) == 0 {
		q.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.IntN(50), 50+r.IntN(500)))
	}
	for i := range r.IntN(8) {
		q.Header.Set(fmt.Sprintf("X-H%d", i), strings.Repeat("v", r.IntN(60)))
	}
	answer, err := client.Do(q)
	if err != nil {
		// A server may close an idle connection just as we write to it.
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return nil
		}
		return err
	}
	io.Copy(io.Discard, answer.Body)
	return answer.Body.Close()
}

func nginx(w *Work) (Command, error) {
	port, paths := w.Port(), site(w)
	w.Scale *= 3
	w.Text("nginx.conf", `pid nginx.pid; error_log error.log; daemon off; master_process off; user root;
events { worker_connections 64; }
http { access_log access.log; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
 gzip %s; gzip_min_length 200; keepalive_timeout %d; open_file_cache max=%d inactive=1s;
 server { listen 127.0.0.1:%d; root www; location / { autoindex on; rewrite ^/old/(.*)$ /$1; } location ~ \.json$ { add_header X-A "$uri-$args"; } } }
`, Pick(w, "on", "off"), w.Between(1, 60), w.Between(4, 100), port)
	return Command{Args: []string{"-p", ".", "-e", "error.log", "-c", "nginx.conf"}, Drive: driveWeb(w, port, paths, syscall.SIGQUIT)}, nil
}

func lighttpd(w *Work) (Command, error) {
	port, paths := w.Port(), site(w)
	w.Scale *= 4
	w.Text("lighttpd.conf", `server.document-root = "%s/www"
server.port = %d
server.bind = "127.0.0.1"
server.modules = ( "mod_access", "mod_rewrite", "mod_dirlisting", "mod_accesslog" )
accesslog.filename = "%s/access.log"
dir-listing.activate = "enable"
url.rewrite-once = ( "^/old/(.*)" => "/$1" )
server.max-keep-alive-requests = %d
mimetype.assign = ( ".html" => "text/html", ".css" => "text/css", ".json" => "application/json" )
`, w.Dir, port, w.Dir, w.Between(4, 200))
	return Command{Args: []string{"-D", "-f", "lighttpd.conf"}, Drive: driveWeb(w, port, paths, syscall.SIGINT)}, nil
}

// haproxy stands before a web server inside the collector.
func haproxy(w *Work) (Command, error) {
	port := w.Port()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Command{}, err
	}
	body := w.Words(w.Between(50, 3000))
	w.Text("haproxy.cfg", `global
  nbthread 1
  maxconn 200
defaults
  mode http
  timeout connect 2s
  timeout client %dms
  timeout server 2s
frontend f
  bind 127.0.0.1:%d
  acl big path_end %s
  http-request set-header X-Seen %%[path,lower]
  http-request deny if { path_sub nowhere }
  capture request header User-Agent len %d
  use_backend b if big
  default_backend b
backend b
  balance roundrobin
  stick-table type string len 40 size %d expire 2s store http_req_rate(1s)
  stick on hdr(X-H1)
  server s1 %s
`, w.Between(500, 5000), port, w.Word(1, 2), w.Between(10, 60), w.Between(20, 1000), l.Addr())
	web := driveWeb(w, port, []string{"/a.html", "/b/" + w.Word(2, 9), "/c.json"}, syscall.SIGUSR1)
	drive := func(ctx context.Context, program *os.Process) error {
		server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, body) })}
		go server.Serve(l)
		defer server.Close()
		return web(ctx, program)
	}
	return Command{Args: []string{"-db", "-dMno-cache,no-global", "-f", "haproxy.cfg"}, Drive: drive}, nil
}

func mosquitto(w *Work) (Command, error) {
	port, topics, perSession := w.Port(), w.Between(5, 200), w.Between(10, 120)
	w.Text("mosquitto.conf", "listener %d 127.0.0.1\nallow_anonymous true\nuser root\nlog_type none\nmax_queued_messages %d\n", port, w.Between(5, 200))
	r := rand.New(rand.NewPCG(w.Rand.Uint64(), 0))
	one := func(i int, c net.Conn) error {
		id := fmt.Sprintf("client%d", r.IntN(40))
		out := bufio.NewWriter(c)
		mqttPacket(out, 0x10, mqttString("MQTT")+"\x04"+string([]byte{byte(r.IntN(2)) << 1})+"\x00\x3c"+mqttString(id))
		for n := range perSession {
			topic := fmt.Sprintf("t/%d/%s", r.IntN(topics), strings.Repeat("s", r.IntN(8)))
			switch r.IntN(6) {
			case 0:
				mqttPacket(out, 0x82, fmt.Sprintf("\x00%c", 1+n%100)+mqttString(topic)+"\x00")
			case 1:
				mqttPacket(out, 0xa2, fmt.Sprintf("\x00%c", 1+n%100)+mqttString(topic))
			case 2: // retained
				mqttPacket(out, 0x31, mqttString(topic)+strings.Repeat("r", r.IntN(200)))
			default:
				mqttPacket(out, 0x30, mqttString(topic)+strings.Repeat("m", r.IntN(400)))
			}
		}
		if fault := w.Fault(); fault != nil { // the server hangs up
			mqttPacket(out, Pick(fault, byte(0x00), 0x36, 0x83, 0xf0, 0x82, 0xa2), Pick(fault, fault.Word(1, 60), "\x00", "\xff\xff"+fault.Word(1, 9), mqttString("#/"+fault.Word(1, 9)), "\x00\x01"+mqttString("a/#/b")+"\x00"))
		} else if r.IntN(5) > 0 { // else: vanish without a word
			mqttPacket(out, 0xe0, "")
		}
		if err := out.Flush(); err != nil {
			return nil
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		io.Copy(io.Discard, c)
		return nil
	}
	return Command{Args: []string{"-c", "mosquitto.conf"}, Drive: driveTCP(fmt.Sprintf("127.0.0.1:%d", port), w.Amount(50, 300), syscall.SIGTERM, one)}, nil
}

// mqttString is a string with its length before it, as MQTT 3.1.1 has it.
func mqttString(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

func mqttPacket(out *bufio.Writer, kind byte, body string) {
	out.WriteByte(kind)
	out.Write(binary.AppendUvarint(nil, uint64(len(body)))) // MQTT's "remaining length" is this varint
	out.WriteString(body)
}

func pythonWeb(w *Work) (Command, error) {
	port, paths := w.Port(), site(w)
	w.Text("serve.py", `
import http.server, signal, sys, functools
class Server(http.server.HTTPServer): request_queue_size = 64
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="www")
http.server.SimpleHTTPRequestHandler.log_message = lambda *a: None
server = Server(("127.0.0.1", %d), handler)
signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
server.serve_forever()
`, port)
	w.Scale *= 0.3
	return Command{Args: []string{"-S", "-B", "serve.py"}, Env: []string{"PYTHONMALLOC=malloc", "PYTHONHASHSEED=0"}, Drive: driveWeb(w, port, paths, syscall.SIGTERM)}, nil
}

func phpWeb(w *Work) (Command, error) {
	port := w.Port()
	w.Text("index.php", `<?php
$a = []; for ($i = 0; $i < %d; $i++) $a["k$i"] = str_repeat($_SERVER["REQUEST_URI"], $i %% 5);
parse_str(file_get_contents("php://input"), $in); ksort($a);
header("X-N: " . count($in)); if (strpos($_SERVER["REQUEST_URI"], "nowhere")) { http_response_code(404); }
echo json_encode($a), preg_replace('/[aeiou]+/', '_', implode(",", array_keys($a)));
`, w.Between(5, 60))
	return Command{Args: []string{"-n", "-S", fmt.Sprintf("127.0.0.1:%d", port), "index.php"}, Env: []string{"USE_ZEND_ALLOC=0"},
		Drive: driveWeb(w, port, []string{"/", "/a/" + w.Word(2, 8), "/b"}, syscall.SIGINT)}, nil
}
